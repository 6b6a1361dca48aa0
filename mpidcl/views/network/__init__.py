"""Who sends to whom, and how much."""
