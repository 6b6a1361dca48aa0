"""Small experiments that together use every exchange, model, policy, term, combiner and editor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Tables = dict[str, dict[str, str]]
ALONE, RESUMED, RANKS_2, RANKS_3 = "alone", "resumed", "2 ranks", "3 ranks"
ALL = (ALONE, RESUMED, RANKS_2, RANKS_3)
TASKS = {
    "stream": {
        "dataset": '"digits"',
        "tasks": "3",
        "classes_per_task": "2",
        "replacement": "true",
        "train_per_class": "16",
        "validation_per_class": "8",
    },
    "learning": {"epochs": "4", "batch": "16"},
    "evaluation": {"every": "2"},
}
"""Tasks one after the other."""
STREAMS = {
    "stream": {
        "kind": '"parallel"',
        "dataset": '"digits"',
        "tasks": "4",
        "train_per_class": "20",
        "timeline": "[0, 3, 4, 9]",
    },
    "model": {"kind": '"mlp"', "hidden": "[24, 16]", "dropout": "0.1"},
    "memory": {"policy": '"class-quota"', "capacity": '"6 rows per class"'},
    "learning": {"kind": '"parallel"', "optimizer": '"adam"', "lr": "3e-3", "batch": "8"},
    "checkpoint": {"every": '"1 task"'},
}
"""Tasks side by side."""
COMBINERS = (
    "sum", "mean", "norm_grad", "mgda", "elastic", "pcgrad", "upgrad", "dualproj",
    "cagrad", "imtl_g", "config", "nash_mtl", "aligned_mtl", "gradvac", "graddrop", "gradnorm",
    "dwa", "rlw", "uw", "famo", "maxdo", "er", "agem", "mega",
)  # fmt: skip
EDITORS = ("align", "conflict", "negated", "random", "none")


@dataclass(frozen=True)
class Case:
    """One experiment: its text (but for the name), or a file of the repository; and how it is run."""

    name: str
    text: str = ""
    file: str = ""
    ways: tuple[str, ...] = ALL

    def write(self, folder: Path, root: Path) -> Path:
        """The experiment file; a file of the repository is taken from `root`."""
        if self.file:
            return root / self.file
        file = folder / f"{self.name}.toml"
        file.write_text(f'name = "{self.name}"\n{self.text}')
        return file


def experiment(tables: Tables, agents: int, parts: tuple[str, ...], **changed: str) -> str:
    """The text of an experiment: `tables`, with lines of `changed` in place of those of the same key."""
    lines = [f"agents = {agents}", "seed = 3"]
    for table, keys in tables.items():
        own = dict(line.split(" = ", 1) for line in changed.get(table, "").splitlines())
        lines += [f"[{table}]", *(f"{key} = {value}" for key, value in {**keys, **own}.items())]
    return "\n".join((*lines, *parts)) + "\n"


def possible(ways: tuple[str, ...], agents: int) -> tuple[str, ...]:
    """The ways in which no rank is without an agent."""
    return tuple(way for way in ways if not way.endswith("ranks") or int(way.split()[0]) <= agents)


def serial(name: str, *parts: str, agents: int = 3, stream: str = "", learning: str = "") -> Case:
    """Tasks one after the other; `parts` are further tables."""
    text = experiment(TASKS, agents, parts, stream=stream, learning=learning)
    return Case(name, text, ways=possible(ALL, agents))


def parallel(
    name: str, learning: str, *parts: str, agents: int = 2, stream: str = "", ways: tuple[str, ...] = ALL
) -> Case:
    """Tasks side by side."""
    text = experiment(STREAMS, agents, parts, stream=stream, learning=learning)
    return Case(name, text, ways=possible(ways, agents))


def parameters(*lines: str, when: str = "before", every: str = "2 epochs", start: int = 0) -> str:
    """An exchange of models."""
    head = f'[[exchange]]\nkind = "parameters"\nwhen = "{when}"\nevery = "{every}"\nfrom_task = {start}'
    return "\n".join((head, *lines))


def data(*lines: str, every: str = "2 epochs") -> str:
    """An exchange of rows."""
    head = f'[[exchange]]\nkind = "data"\nwhen = "after"\nevery = "{every}"\nfrom_task = 0'
    return "\n".join((head, "queries = 3" if "class-needs" not in "".join(lines) else "", *lines))


def experts(*lines: str, every: str = "2 epochs") -> str:
    """An exchange of models and experts."""
    return "\n".join((f'[[exchange]]\nkind = "experts"\nwhen = "after"\nevery = "{every}"', *lines))


def modules(*lines: str) -> str:
    """An exchange of modules, for compositional agents with two initial tasks."""
    head = '[[exchange]]\nkind = "modules"\nwhen = "task start"\nevery = "1 task"\nfrom_task = 3'
    return "\n".join((head, *lines))


GROWING = 'kind = "compositional"\nthreshold = -1'
INITIAL = "tasks = 5\njoint_tasks = 2\njoint_shared = true"
MLP = '[model]\nkind = "compositional-mlp"\nwidth = 16\ndepth = 2'
CNN = '[model]\nkind = "compositional-cnn"\nwidth = 6\ndepth = 2'


def growing(name: str, model: str, *parts: str, learning: str = "") -> Case:
    """Agents whose models grow."""
    return serial(name, model, *parts, stream=INITIAL, learning=f"{GROWING}\n{learning}")


SERIAL_CASES = (
    serial("alone", agents=2),
    serial("one-agent", agents=1, learning="reset_optimizer = true"),
    serial("average", parameters(), '[network]\ntopology = "ring"'),
    serial(
        "prox-star",
        parameters('method = "fedprox"', "mu = 0.1", 'weights = "metropolis"'),
        '[network]\ntopology = "star"',
        learning='optimizer = "sgd"\nlr = 0.05\nmomentum = 0.9\nweight_decay = 1e-3',
        agents=4,
    ),
    serial(
        "curvature", parameters('method = "fedcurv"', 'precision = "int8"'), learning='optimizer = "adamw"'
    ),
    serial(
        "fisher-line",
        parameters('method = "fisher"', 'precision = "float16"'),
        '[network]\ntopology = "line"',
    ),
    serial(
        "top-k-lossy",
        parameters('precision = "top-k"', "fraction = 0.2", when="after"),
        '[memory]\npolicy = "overwrite"\ncapacity = "6 rows per task"',
        '[network.conditions]\nlatency = "2 ms"\njitter = "3 ms"\nbandwidth = "1 MB/s"\nloss = "30 %"',
    ),
    serial(
        "block-budget",
        parameters('precision = "block"', "blocks = 3"),
        '[memory]\npolicy = "candidate"\ncapacity = "20 rows"',
        '[network]\ntopology = "complete"\nbudget = "40 KiB"',
    ),
    serial(
        "whole-model",
        parameters('parts = "all"', 'method = "fedcurv"', 'precision = "top-k"', "fraction = 0.3"),
        '[network]\ntopology = "ring"\nbudget = "30 KiB"',
        stream='draw = "shared"\nincremental = "class"',
        agents=4,
    ),
    serial(
        "sparse-experts",
        experts('merge = "sparse"', "fraction = 0.3", 'score = "mixed"', "fisher_mean = true"),
        '[model]\nkind = "experts-mlp"\nencoder = [12]\nexperts = 4\nhidden = 6\nwidth = 8',
        '[network]\ntopology = "ring"\nbudget = "9 KiB"',
        stream='draw = "dirichlet"\nincremental = "class"',
        learning='kind = "experts"\nfirst = 2\ngrow = 1\nterms = ["replay", "balance"]',
    ),
    serial(
        "matched-resnet",
        experts('merge = "matched"', 'parts = ["shared"]', 'silent = "newest"', every="1 epochs"),
        '[model]\nkind = "resnet18"\nwidth = 2',
        '[network.conditions]\nloss = "30 %"',
        learning="epochs = 1",
    ),
    serial(
        "matched-by-weights",
        experts('merge = "matched"', 'by = "weights"', 'precision = "int8"', "teach = true"),
        '[model]\nkind = "mlp"\nhidden = [12, 8]',
        stream='draw = "shared"',
        learning='terms = ["replay", {kind = "distillation", teacher = "neighbours"}]',
    ),
    serial(
        "answers",
        '[[exchange]]\nkind = "predictions"\nwhen = "before"\nevery = "1 epochs"\nof = "both"\nrows = 12',
        '[model]\nkind = "mlp"\nhidden = [12]',
        stream='draw = "shared"',
        learning='terms = ["replay", "predictions"]',
    ),
    serial("auto-small-budget", parameters(every="1 epochs"), '[network]\nbudget = "9 KiB"', agents=3),
    serial(
        "resnet-bn",
        parameters('bn = "average"', every="1 epochs"),
        '[model]\nkind = "resnet18"\nwidth = 4',
        learning="epochs = 1",
    ),
    serial("cnn-hard", data(), '[model]\nkind = "cnn"\nwidth = 6\ndepth = 2', '[memory]\npolicy = "fifo"'),
    serial(
        "margin-raw",
        data(
            'scorer = "margin"',
            'prefilter = "raw-distance"',
            'labels = "same-as-query"',
            'duplicates = "drop"',
        ),
        '[model]\nkind = "mlp"\nhidden = [20]\ndropout = 0.2',
    ),
    serial(
        "random-none",
        data('scorer = "random"', 'prefilter = "none"', 'tasks = "current"', 'pixels = "float32"'),
    ),
    serial("needs", data('choose = "class-needs"', "rows = 8", "balance = true")),
    serial("class-incremental", parameters(), data(), stream='incremental = "class"\nreplacement = false'),
    serial(
        "domain-dirichlet",
        parameters(when="task end", every="1 task"),
        stream='incremental = "domain"\ndomains = "rotate"\ndraw = "dirichlet"',
    ),
    serial(
        "whole-classes",
        parameters(when="task end", every="1 task"),
        stream='incremental = "class"\nreplacement = false\ndraw = "classes"',
        agents=4,
    ),
    serial(
        "unequal",
        parameters('links = "slow"'),
        data(every="1 epochs"),
        '[[network.link]]\nclass = "slow"\nfrom = [0]\nbudget = "48 KiB"',
        "[[agent]]\nids = [0]\nlearning = { epochs = 6 }",
        "[[agent]]\nids = [2]\nstream = { tasks = 2 }",
        '[checkpoint]\nevery = "2 epochs"',
        agents=4,
    ),
    serial(
        "batch-replay",
        '[memory]\ninsert = "each step"\ncapacity = "20 rows"',
        learning='terms = [{ kind = "replay", mix = "batch", rows_per_step = 8 }]',
    ),
    serial(
        "separate-replay",
        parameters(),
        stream="joint_tasks = 2\njoint_shared = true",
        learning='terms = [{ kind = "replay", mix = "separate", weight = 0.5, rows_per_step = 8 }]',
    ),
    serial("ewc", parameters(), learning='terms = [{ kind = "ewc", weight = 20.0, gamma = 0.9 }]'),
    serial("si", learning='optimizer = "sgd"\nlr = 0.05\nterms = ["replay", { kind = "si", c = 2.0 }]'),
    serial(
        "three-measures",
        data(),
        stream='incremental = "class"\nreplacement = false',
        learning='objective = { kind = "classification", measures = ["task_accuracy", "accuracy", "top5"] }',
    ),
    serial(
        "classes-by-id",
        parameters(),
        stream='incremental = "class"\nreplacement = false\nclass_order = "by id"\ndraw = "iid"\n'
        "validation_per_class = 4",
    ),
    serial("first-domain", stream='incremental = "domain"\nfirst_domain = "drawn"\ndraw = "shared"'),
    serial("joint-shuffled", data(), stream="joint_tasks = 2", learning='joint = "shuffled"'),
    serial("restart", parameters(), learning="restart = true"),
    serial(
        "dark-replay",
        parameters(),
        '[memory]\ninsert = "each step"\ncapacity = "20 rows"',
        learning='terms = [{ kind = "der", alpha = 0.3, beta = 0.5, rows_per_step = 8 }]',
    ),
    serial(
        "one-memory",
        parameters(),
        '[memory]\nscope = "global"\ninsert = "each step"\ncapacity = "5 rows per class"',
        stream="train_per_class = 12\nreplacement = false",
        learning='terms = [{ kind = "der", alpha = 0.3, beta = 0.5, rows_per_step = 8 }]',
    ),
    serial(
        "one-memory-one-model",
        '[memory]\nscope = "global"\ninsert = "each step"\ncapacity = "9 rows"',
        stream='incremental = "class"\nreplacement = false\ndraw = "dirichlet"\nalpha = 0.3',
        learning='one_model = true\nterms = [{ kind = "replay", mix = "batch", rows_per_step = 6 }]',
    ),
    serial(
        "asymmetric-replay",
        '[memory]\ninsert = "each step"\ncapacity = "20 rows"',
        stream='incremental = "class"\nreplacement = false',
        learning='terms = [{ kind = "er-ace", rows_per_step = 8 }]',
        agents=2,
    ),
    serial("agem", parameters(), learning='terms = [{ kind = "agem", rows_per_step = 8 }]', agents=2),
    serial(
        "gem",
        stream='joint_tasks = 2\njoint_shared = true\nincremental = "domain"',
        learning='terms = ["gem"]',
        agents=2,
    ),
    serial("lwf", parameters(), learning='terms = ["replay", { kind = "lwf", alpha = 2.0, warm_up = 2 }]'),
    serial("lwf-one-head", stream='incremental = "class"\nreplacement = false', learning='terms = ["lwf"]'),
    serial(
        "exemplars",
        parameters(),
        data(),
        '[model]\nkind = "cnn"\nchannels = [6, 8]',
        '[memory]\npolicy = "herding"\ncapacity = "20 rows"',
        stream='augment = ["crop", "flip"]\nincremental = "class"\nreplacement = false\n'
        "validation_per_class = 4",
        learning='objective = "one-vs-rest"\nterms = [{ kind = "icarl", mirrored = true }]',
    ),
    serial(
        "augmented",
        '[model]\nkind = "cnn"\nchannels = [6, 8]',
        '[memory]\ninsert = "each step"\ncapacity = "20 rows"',
        stream='augment = ["crop", "flip"]\njoint_tasks = 2\njoint_shared = true',
        learning='terms = [{ kind = "replay", mix = "separate", rows_per_step = 8 }]',
    ),
    growing("modules-label", MLP, modules('rank_by = "label"'), parameters(), data()),
    growing(
        "modules-try-out",
        MLP,
        modules('rank_by = "leep"', 'choose = "try-out"', "count = 2", "keep = 2", "trial_epochs = 1"),
        learning="candidates = 2",
    ),
    growing("modules-none", CNN, modules('rank_by = "leep"', 'query = "none"', 'precision = "int8"')),
    growing("modules-prepared", MLP, modules('rank_by = "leep"', 'query = "prepared"', 'head = "leep"')),
    growing(
        "modules-means", MLP, modules('rank_by = "leep"', 'query = "class-means"', 'precision = "float16"')
    ),
)
IMAGES = {
    "stream": {"kind": '"ptychography"', "tasks": "3", "size": "16", "positions": "5", "draw": '"iid"'},
    "model": {"kind": '"ptychonn"', "width": "2", "init": '"he-normal"', "batch_norm": "true"},
    "memory": {"capacity": '"10 rows"', "insert": '"each step"'},
    "learning": {
        "epochs": "2",
        "batch": "4",
        "one_model": "true",
        "objective": '"images"',
        "schedule": '{kind = "cyclic", highest = 4e-3, half_cycle = 3, gamma = 0.99, by_agents = true}',
        "terms": '[{kind = "der", alpha = 0.5, beta = 1.0, rows_per_step = 3}]',
    },
    "checkpoint": {"every": '"1 epochs"'},
}
"""Images out of images, by agents of one model whose step size changes."""
IMAGE_CASES = (Case("ptychography", experiment(IMAGES, 3, ())),)
PARALLEL_CASES = (
    parallel("elastic-align", 'combiner = "elastic"\nediting = {kind = "align", lr = 0.01}', agents=3),
    parallel("one-agent-parallel", 'combiner = "pcgrad"\nediting = "conflict"', agents=1),
    parallel(
        "memory-each",
        'combiner = {kind = "elastic", tau = 0.5, sigma = "ema_norm"}\nediting = "align"',
        stream='memory_agent = "each"',
        agents=3,
    ),
    parallel(
        "memory-own", 'combiner = "agem"', stream='memory_agent = "own"\nincremental = "task"', agents=3
    ),
    parallel("second-moment", 'combiner = "sum"\nsecond_moment = "mean"', stream='timeline = "random"'),
    parallel("no-memory", 'combiner = "mean"\nterms = []\noptimizer = "sgd"\nmomentum = 0.5'),
    parallel(
        "many-models",
        'combiner = "upgrad"\nnot_finite = "skip"',
        parameters(every="5 ticks"),
        stream='spread = "none"\ndraw = "independent"',
    ),
)
COMBINER_CASES = tuple(
    parallel(
        f"combiner-{name}",
        f'combiner = "{name}"\nediting = "{EDITORS[number % len(EDITORS)]}"',
        ways=(ALONE, RANKS_2) if number % 6 == 0 else (ALONE,),
    )
    for number, name in enumerate(COMBINERS)
)
LINEAR_CASES = (Case("damtl", file="examples/damtl/ring.toml", ways=(ALONE, RANKS_2)),)
OWN_CASES = tuple(
    Case(name.replace("_", "-"), file=f"examples/own_methods/{name}.toml", ways=(ALONE, RANKS_2))
    for name in ("own_methods", "own_combiner", "own_editor")
)
CASES = (*SERIAL_CASES, *IMAGE_CASES, *PARALLEL_CASES, *COMBINER_CASES, *LINEAR_CASES, *OWN_CASES)
