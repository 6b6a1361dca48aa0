"""Learners, loss terms and optimisers."""
