"""The compiled run: all ticks of linear agents in one process, in one loop, with the bits of their lives."""
