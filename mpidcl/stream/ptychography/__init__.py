"""Diffraction patterns of synthetic objects: a stream without files."""
