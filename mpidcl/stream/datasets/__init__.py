"""Data sets: loaders of the official file formats."""
