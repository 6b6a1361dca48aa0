"""Where batches come from: data sets and task sequences."""
