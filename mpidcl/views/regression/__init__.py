"""Linear models that learn one stream of samples, in groups: how far they are from what is true, and when."""
