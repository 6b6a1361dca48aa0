"""Neighbours answer rows of an agent: their outputs teach it, and no model travels."""
