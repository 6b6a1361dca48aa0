"""Models of experts: which of them answers what, and what becomes of them."""
