"""Tasks that are learned at once."""
