"""For tests of your own parts: what every one of a kind must do, and small helpers."""
