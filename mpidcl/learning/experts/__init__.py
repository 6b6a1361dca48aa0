"""A learner whose model is made of experts."""
