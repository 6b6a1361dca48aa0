"""Requests that all agents make at once, without MPI."""
