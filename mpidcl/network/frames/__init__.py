"""What crosses a link: messages, their bytes, budgets, accidents, accounts."""
