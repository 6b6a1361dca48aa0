"""The table of `scripts/launchers`: places in which launchers are tried, and what is done to runs there."""
