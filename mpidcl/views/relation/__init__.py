"""How groups of linear models are related: what their messengers have learned, beside what is true."""
