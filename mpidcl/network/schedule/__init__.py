"""Who is connected to whom, and when what happens."""
