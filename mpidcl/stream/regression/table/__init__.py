"""Regression on tables: rows of CSV files as samples of the agents of their group."""
