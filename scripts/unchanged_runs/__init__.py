"""The table of `scripts/unchanged`: small experiments, and what must stay the same in their results."""
