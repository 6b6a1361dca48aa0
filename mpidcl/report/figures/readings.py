"""How to read each figure, in the words that stand below it."""

ONE_SEED = (
    " A name with * has one seed: its error is over the agents of that seed and says nothing of other seeds."
)
"""Of figures that compare groups."""

CURVE = (
    "Mean over agents, the band is ± one standard error over the agents of this run, which share its seed. "
    "Each time a task begins, the curve starts anew: the new task joins the mean before anything was learned "
    "of it. A blue line that ends lower from task to task is forgetting."
)

PANELS = (
    "One line per task, numbered where it begins, dark for early tasks and bright for late ones. A line"
    " should rise while its own task is learned and then stay level; one that sinks afterwards is being"
    " forgotten."
)

MATRIX = (
    "Mean over agents at the end of each task. Read down a column to see what became of a task, along a"
    " row to see all that was known at that time. The diagonal is how well a task was learned; the last"
    " row averages to the final accuracy."
)

GROWTH = (
    "Left: how many modules an agent has after each task; the grey lines are the agents, the blue one is "
    "their mean. Right: what each candidate module added to the accuracy on its task's validation rows, in "
    "% of the accuracy without it. Circles began at random, triangles were received from a neighbour; filled "
    "ones were kept."
)

PROVENANCE = (
    "One lane per agent, time runs downwards. A disc is a module that was kept when the task of its row was "
    "learned, with its number in its agent: white ones began at random, dark ones began as a copy of the "
    "module that their arrow comes from, and were trained further. Arrows have the colour of the agent "
    "that gave. A cross is a task whose candidates were all dropped."
)

STRUCTURES = (
    "One map per agent (the first eight), a row per module, and for each task a column per layer, first "
    "layer left. Black: the layer consists of this module alone; white: the layer makes no use of it, or "
    "the module came later than the task. Each column adds up to one; a dot marks the largest share of a "
    "layer that mixes several. “5 ← 2” is module 5, which came from agent 2."
)

COST = (
    "One point at the end of each task, numbered by task: the blue line is the mean over agents, the "
    "grey lines are the agents. Left: payload and headers as measured on the wire. Right: the floats "
    "that the publication charges."
)

TOPOLOGY = (
    "Each circle is an agent with its final accuracy. Lines are links; the number beside a line, like its "
    "thickness, is what crossed it in both directions together, headers included. An arrow is a link in one "
    "direction only."
)

DIVERGENCE = (
    "Mean absolute difference of one shared parameter to the same one of a neighbour, just before and "
    "just after averaging; the band is ± one standard error over the pairs of this run. Learning pulls "
    "neighbours apart, averaging brings them together."
)

TIME = (
    "Time of the clock, by agent. Starting is agreeing with the neighbours on what will happen; meeting is "
    "packing, sending and taking in; waiting is idling until a neighbour's frame has come, and the turns of "
    "the other agents where several share a process; other is the progress lines and what lies between the "
    "parts. The parts add up to the wall time (black tick), from the agent's first to its last action. "
    "Loading Python and its libraries comes before that."
)

DOTS = (
    "A small dot is one agent of one run, the large one the mean over agents and seeds with its "
    "standard error over seeds; agents that share one model are one dot. Accuracies and speed: further right "
    "is better. Forgetting: further left is better." + ONE_SEED
)

CURVES = (
    "Mean over agents and seeds of the accuracy on all tasks seen so far, the band is ± one standard "
    "error over seeds. The curve starts anew with each task." + ONE_SEED
)

SPEED = (
    "Accuracy on the task that is being learned, over the ticks spent on it: mean over the tasks learned "
    "alone, agents and seeds; the band is ± one standard error over seeds. A curve that climbs earlier has "
    "the larger area below it, which is the learning speed of the current task." + ONE_SEED
)

COSTS = (
    "What an agent knew at the end over what it sent in the whole run: up and left is better. The bar is "
    "one standard error over seeds. A dashed line is the level of a group that sent nothing." + ONE_SEED
)

PAIRED = (
    "Each small dot is one agent under one seed, compared with the same agent under the same seed in "
    "the first group: what luck does to both cancels. The bar is one standard error over seeds. How many of "
    "them a mean must be away from zero to be hardly luck depends on the number of seeds: 12.7 with two, 4.3 "
    "with three, 2.8 with five, 2.4 with eight." + ONE_SEED
)
