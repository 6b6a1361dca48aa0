"""What is learned and how it is measured: one small class each."""
