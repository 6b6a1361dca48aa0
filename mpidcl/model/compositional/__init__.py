"""Models made of modules that every task mixes in its own way."""
