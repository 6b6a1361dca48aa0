"""How agents that train one model bring their gradients together."""
