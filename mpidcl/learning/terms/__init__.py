"""Loss terms: one small class each."""
