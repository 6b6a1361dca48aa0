"""Models whose parameters are views of one flat tensor."""
