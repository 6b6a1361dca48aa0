"""Array kernels of mpidcl: per module the definition in NumPy and the compiled form; in cuda/ the GPU form.

Knows arrays and nothing else: neither torch nor MPI nor mpidcl is imported here, so it can be used alone.
Import a function from its module, `from mpidcl_kernels.gram import gram_matrix`; docs/kernels.md lists them.
"""
