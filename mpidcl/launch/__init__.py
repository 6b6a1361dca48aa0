"""Jobs and their ranks: starting, watching, stopping, ending."""
