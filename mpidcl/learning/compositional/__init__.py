"""The learner whose model grows by modules."""
