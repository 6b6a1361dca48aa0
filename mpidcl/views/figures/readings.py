"""How to read each figure, in the words that stand below it."""

ONE_SEED = (
    " A name with * has one seed: its error is over the agents of that seed and says nothing of other seeds."
)
"""Of figures that compare groups."""

DOTS = (
    "A small dot is one agent of one run, the large one the mean over agents and seeds with its "
    "standard error over seeds; agents that share one model are one dot. Accuracies and speed: further right "
    "is better. Forgetting: further left is better." + ONE_SEED
)

PAIRED = (
    "Each small dot is one agent under one seed, compared with the same agent under the same seed in "
    "the first group: what luck does to both cancels. The bar is one standard error over seeds. How many of "
    "them a mean must be away from zero to be hardly luck depends on the number of seeds: 12.7 with two, 4.3 "
    "with three, 2.8 with five, 2.4 with eight." + ONE_SEED
)
