"""Figures of tasks that are learned at once."""
