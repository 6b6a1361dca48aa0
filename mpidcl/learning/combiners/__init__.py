"""Combiners: several gradients in, one direction out (docs/combiners.md)."""
