"""`scripts/reproduce`: the published protocol as a list of runs, and published numbers beside ours."""
