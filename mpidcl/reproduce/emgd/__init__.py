"""Parallel continual learning: methods compared on the streams of EMGD (arXiv 2401.01054)."""
