"""How far neighbours are apart."""
