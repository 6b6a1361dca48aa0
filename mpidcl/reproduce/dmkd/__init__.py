"""Networks of experts on Fashion-MNIST: what each part of DMKD is worth, and what it is compared with."""
