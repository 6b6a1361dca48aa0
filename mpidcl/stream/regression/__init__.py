"""Streams of samples for regression: one sample at each tick, one task for each group of agents."""
