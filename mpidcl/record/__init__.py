"""What a run leaves behind: metrics, results, checkpoints, reports."""
