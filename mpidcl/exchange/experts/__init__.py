"""Sharing models and experts: whole, only what matters most, or matched unit by unit."""
