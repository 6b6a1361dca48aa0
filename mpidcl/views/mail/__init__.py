"""Frames that arrive some time after they have left: what became of them, and how old they were when used."""
