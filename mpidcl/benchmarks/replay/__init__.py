"""`mpidcl bench replay`: what one replay buffer across all ranks takes."""
