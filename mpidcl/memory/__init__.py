"""Replay buffers: storage, insertion policies, samplers."""
