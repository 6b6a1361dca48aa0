"""Array kernels of mpidcl: each module holds the NumPy definition and the compiled form of one job; cuda/ the GPU's.

Knows arrays and nothing else: neither torch nor MPI nor mpidcl is imported here, so it can be used alone.
Import a function from its module, `from mpidcl_kernels.gram import gram_matrix`; docs/kernels.md lists them.
"""
