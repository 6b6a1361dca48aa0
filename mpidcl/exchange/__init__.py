"""Ways of sharing: the only room that knows both a learner and a message."""
