"""Tasks one after the other."""
