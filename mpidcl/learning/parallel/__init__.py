"""The learner of parallel streams: many gradients, one step."""
