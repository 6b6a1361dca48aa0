"""What `mpidcl bench` measures, beside what a user would call instead."""
