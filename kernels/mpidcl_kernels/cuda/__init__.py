"""The CUDA forms: sources in CUDA C, and the host code that launches them on CuPy arrays."""
