"""Sharing whole models: averaging, penalties, forms that fit."""
