"""What every room may use: text for users, small files, quantities, the machine."""
