"""Tasks that run side by side."""
