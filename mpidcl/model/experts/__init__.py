"""Models of many experts, of which a router picks a few for each row."""
