"""Baselines of continual learning on the streams of papers: published, Mammoth and ours."""
