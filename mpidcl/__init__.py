"""mpidcl: networks of continual learners, one MPI process each, sharing under budgets."""

__version__ = "0.1.0"
