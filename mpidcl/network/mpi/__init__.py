"""The MPI driver: the only room of `network` that imports mpi4py."""
