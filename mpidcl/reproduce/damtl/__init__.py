"""DAMTL as reconstructed: groups of linear learners, what they are compared with, and hard networks."""
