"""The learner by gradients: one model, one loss, one memory."""
