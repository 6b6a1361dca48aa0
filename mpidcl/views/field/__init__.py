"""Maps of the field that groups of sensors estimate."""
