"""Sharing modules: ranking, questions, answers, choice."""
