"""The experiment file: its tables, units and kinds, and what can be wrong with it."""
