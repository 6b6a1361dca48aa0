"""Linear models that learn sample by sample: networked multi-task learning (DAMTL) as reconstructed.

After Hong and Garcia, "Distributed Networked Multi-task Learning", arXiv 2410.03403, whose equations could
not be read: update rules and constants are standard theory, and none of them is "as in the paper".
"""
