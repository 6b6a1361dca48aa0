"""Models that grow by modules."""
