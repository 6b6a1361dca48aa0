"""Replay from one memory of all agents: where time goes, whose rows come, what is held."""
