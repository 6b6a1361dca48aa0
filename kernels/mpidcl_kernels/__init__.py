"""Array kernels of mpidcl: each module holds the NumPy definition and the compiled form of one job.

Knows arrays and nothing else: neither torch nor MPI nor mpidcl is imported here, so it can be used alone.
"""
