"""How vectors, rows and pixels become few bytes."""
