"""What all kernels stand on: arrays of any library, the cache of compiled code, threads, errors."""
