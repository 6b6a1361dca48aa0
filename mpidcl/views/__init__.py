"""What can be seen in a run: numbers and words, and the figures of each thing beside them."""
