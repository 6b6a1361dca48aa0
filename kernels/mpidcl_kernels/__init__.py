"""Array kernels of mpidcl: one folder per family, with its NumPy definition, its compiled and its GPU form.

Knows arrays and nothing else: neither torch nor MPI nor mpidcl is imported here, so it can be used alone.
Import a function from its module, `from mpidcl_kernels.gram import gram_matrix`; docs/kernels.md lists them.
"""
