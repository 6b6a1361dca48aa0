"""How an experiment becomes a job: ranks and nodes, walltime, a name that batch systems take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mpidcl.errors import ExperimentError
from mpidcl.experiment.units import counted, parse_walltime

MOST_RANKS_OF_A_NODE = 16
"""Where nobody says how many cores a node has."""
LONGEST_NAME = 15
"""Characters of a job's name: all that older PBS takes, and what qstat shows."""


LEAST_WALLTIME_S = 60
"""A start alone takes up to a minute where libraries come over a network."""


@dataclass(frozen=True)
class Layout:
    """Nodes, ranks on each of them, and ranks altogether: never more than agents."""

    nodes: int
    per_node: int
    ranks: int


def layout(agents: int, nodes: int | None, per_node: int | None, cores: int | None, threads: int) -> Layout:
    """One rank per agent if nobody says otherwise; with both numbers given, ranks that share the agents.

    `cores`: of a node, where that is known; `threads`: of each rank. Raises ExperimentError.
    """
    most = max(1, cores // threads) if cores else max(MOST_RANKS_OF_A_NODE // threads, 1)
    if per_node is None:
        nodes = nodes or math.ceil(agents / most)
        per_node = math.ceil(agents / nodes)
    elif nodes is None:
        nodes = math.ceil(agents / per_node)
    ranks = min(agents, nodes * per_node)
    if math.ceil(ranks / per_node) < nodes:
        raise ExperimentError(
            f"{nodes} nodes with {counted(per_node, 'rank')} each are more than {counted(agents, 'agent')}"
            f" can fill: a node would be empty. Ask for {math.ceil(ranks / per_node)} with --nodes"
        )
    if cores is not None and per_node * threads > cores:
        raise ExperimentError(
            f"--ranks-per-node should be at most {most}: a node there has {cores} cores, and a rank {threads}"
            f" threads. Found {per_node}. Ask for more nodes"
        )
    return Layout(nodes, per_node, ranks)


def walltime_s(text: str) -> int:
    """Whole seconds of a walltime, as `mpidcl run --walltime` reads it. Raises ExperimentError."""
    try:
        seconds = math.ceil(parse_walltime(text))
    except ValueError as error:
        raise ExperimentError(f'--walltime {error}. Found "{text}"') from None
    if seconds < LEAST_WALLTIME_S:
        raise ExperimentError(
            f"--walltime of a job should be {LEAST_WALLTIME_S} s or more, for start-up, learning and saving."
            f' Found "{text}"'
        )
    return seconds


def clock_text(seconds: int) -> str:
    """`HH:MM:SS`, as PBS and Slurm both read it.

    >>> clock_text(3300)
    '00:55:00'
    """
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def seeds(text: str) -> str:
    """`FIRST-LAST` or `FIRST-LAST:STEP`, for the jobs of an array. Raises ExperimentError."""
    found = re.fullmatch(r"(\d{1,6})-(\d{1,6})(?::(\d{1,6}))?", text, re.ASCII)
    if found is None or int(found[1]) >= int(found[2]) or found[3] is not None and not int(found[3]):
        raise ExperimentError(f'--seeds should be FIRST-LAST, such as "0-7", or "0-8:2". Found "{text}"')
    return text


def job_name(name: str) -> str:
    """`name` as every batch system takes it: letters, digits, `_.-`, a letter first, 15 characters.

    >>> job_name("42 rings/α"), job_name("ring")
    ('j42-rings', 'ring')
    """
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "mpidcl"
    return (plain if plain[0].isalpha() else f"j{plain}")[:LONGEST_NAME].rstrip("-.")


def word(text: str, option: str) -> str:
    """An account or queue as one word of a directive line. Raises ExperimentError."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@:+-]{0,99}", text, re.ASCII):
        raise ExperimentError(f'{option} should be one word of letters, digits and `_.@:+-`. Found "{text}"')
    return text
