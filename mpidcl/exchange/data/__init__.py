"""Sharing rows: what is hard, or what is needed."""
