"""What all figures share. matplotlib is imported by figures alone; nothing global of it is touched."""
