"""One replay buffer over many agents: each holds a share, and all draw from all shares."""
