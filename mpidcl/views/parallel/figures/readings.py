"""How to read each figure of parallel learning, in the words that stand below it."""

from mpidcl.views.mean_error import ONE_SEED

TIMELINE = (
    "A bar per task from its first to its last step, with the agent that computes its gradients where "
    "there are several; beside it the accuracy right after its last step → at the end of the run, under "
    "the mask of the mode. The grey bar is the memory of tasks that have ended. Below: how many gradients "
    "each step combines. Look for stretches with many gradients: there they may disagree."
)

ACCURACY = (
    "Accuracy on each task under the mask of the mode, tested whenever a task ends (dotted lines). The "
    "ring is the end of the task itself: what falls to its right is forgotten. Where the model must tell "
    "apart the classes of all tasks that have started, a part of each fall is only that there are more "
    "classes to confuse."
)

CONFLICT = (
    "Left, above: mean and smallest cosine over the pairs of gradients of a step; the band holds all "
    "steps of a piece. Left, below: the share of pairs with a negative cosine. Right: the mean cosine of "
    "each two over the steps that they shared; blue agrees, red is in conflict, grey never met. Red in "
    "the column of the memory: learning something new undoes something old."
)

WEIGHTS = (
    "Weight that each gradient got in the direction, numbered where its task begins (dashed: the memory). "
    "Below, the largest share that one gradient took of the weight of its step (the sum of absolute values): "
    "above the line one task decides alone, and the others learn only as far as they agree with it. Last, "
    "where the method has them, the elastic factors: how fast each loss was asked to fall. A weight near "
    "zero means that the others already serve this task."
)

SLACK = (
    "Above: the smallest cosine between the direction and a gradient. Above zero a small step decreases "
    "all losses; below zero some task pays for the others. Below, for elastic methods: the smallest "
    "decrease beyond the one that its elastic factor promised, as a share of |d|². Zero: every promise "
    "was kept, to first order; below zero, as a floor under the weights may cause, one was broken. Both "
    "are about a small step along the direction itself: an optimiser such as Adam, which scales each "
    "parameter by its own past, may still let a loss rise."
)

LOSS = (
    "Mean loss of each task's batches while it was learned (dashed: the memory), numbered where a task "
    "begins. Losses of tasks that overlap should fall together; a memory whose loss rises is being "
    "overwritten."
)

DISPLACEMENT = (
    "How far one edit moved the rows of its batch (L2 over pixels 0..1): mean and largest, the band holds "
    "all steps of a piece. Edits should stay small beside the length of a picture, and not grow."
)

GALLERY = (
    "Rows of the memory that were moved furthest among those kept for this picture, at the end of the "
    "run: as they came, as they are now, and the difference, as many times larger as is said there (grey: "
    "unchanged); below, their task and distance from the original. Edits that one can see change what the "
    "row shows, and should be smaller."
)

CURVES = (
    "Mean accuracy on the tasks that were tested when a task ended, under the mask of the mode; the band "
    "is ± one standard error over seeds. Tasks that begin pull the mean down, as does what is forgotten."
    + ONE_SEED
)
