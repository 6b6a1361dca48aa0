"""One replay buffer across all agents on Split CIFAR-100, and what it is compared with."""
