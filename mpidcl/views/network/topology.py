"""The network: agents with their final accuracy, links with what crossed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpidcl.base.quantities import bytes_text
from mpidcl.record.records import AgentRecord
from mpidcl.views.figures.style import COLOURS, INK, new_panel, note
from mpidcl.views.units import PERCENT
from mpidcl.views.views import Views

Link = tuple[int, int]
Places = Mapping[int, tuple[float, float]]
_MOST_LABELS = 24


def topology(records: Sequence[AgentRecord], links: Sequence[Link], views: Views) -> Figure:
    """Each circle is an agent with its final accuracy. Lines are links; the number beside a line, like its
    thickness, is what crossed it in both directions together, headers included. An arrow is a link in one
    direction only.
    """
    graph = nx.Graph()
    graph.add_nodes_from(record.agent for record in records)
    sent = traffic(records)
    graph.add_edges_from(links)
    graph.add_edges_from(sent)
    places = _places(graph)
    figure, axes = new_panel(*((4.8, 6.4) if len(records) <= 5 else (6.6, 8.2)))
    axes.set_axis_off()
    axes.set_aspect("equal")
    xs, ys = zip(*places.values(), strict=True)
    axes.set(xlim=(min(xs) - 0.2, max(xs) + 0.2), ylim=(min(ys) - 0.2, max(ys) + 0.2))
    _draw_links(axes, places, {*links, *sent}, sent)
    _draw_agents(axes, places, records, views)
    return figure


def traffic(records: Sequence[AgentRecord]) -> dict[Link, int]:
    """Wire bytes of each directed link."""
    found = Counter[Link]()
    for row in (row for record in records for row in record.ledger):
        found[row.source, row.target] += row.wire_bytes
    return found


def _places(graph: nx.Graph) -> dict[int, tuple[float, float]]:
    """Rings, complete and disconnected graphs on a circle from the top on, others by their distances."""
    count = graph.number_of_nodes()
    ring = all(degree == 2 for _, degree in graph.degree)
    full = graph.number_of_edges() == count * (count - 1) // 2
    if count > 2 and nx.is_connected(graph) and not ring and not full:
        return {node: (x, y) for node, (x, y) in nx.kamada_kawai_layout(graph).items()}
    angles = (0 if count == 2 else np.pi / 2) - 2 * np.pi * np.arange(count) / count
    return {node: (np.cos(a), np.sin(a)) for node, a in zip(sorted(graph), angles, strict=True)}


def _draw_links(axes: Axes, places: Places, links: set[Link], sent: Mapping[Link, int]) -> None:
    pairs = sorted({(min(link), max(link)) for link in links})
    totals = {pair: sent.get(pair, 0) + sent.get(pair[::-1], 0) for pair in pairs}
    largest = max(totals.values(), default=0) or 1
    for pair, total in totals.items():
        width = 0.8 + 4.2 * total / largest
        one_way = [link for link in (pair, pair[::-1]) if link in links and link[::-1] not in links]
        source, target = one_way[0] if one_way else pair
        style = {"arrowstyle": "-|>" if one_way else "-", "linewidth": width, "color": COLOURS[5]}
        style |= {"shrinkA": 15, "shrinkB": 19, "mutation_scale": 14}
        axes.annotate("", xy=places[target], xytext=places[source], arrowprops=style, zorder=1)
        if total and len(pairs) <= _MOST_LABELS:
            _label_link(axes, places, pair, bytes_text(total))


def _label_link(axes: Axes, places: Places, pair: Link, text: str) -> None:
    """Written along the line, on its outer side."""
    start, end = (np.array(places[agent]) for agent in pair)
    middle = (start + end) / 2
    if np.hypot(*middle) < 0.15:  # lines through the centre would all have their label there
        middle = start + 0.3 * (end - start)
    angle = np.arctan2(*(end - start)[::-1])
    upright = (angle + np.pi / 2) % np.pi - np.pi / 2
    x, y = -np.sin(upright), np.cos(upright)
    side = 9 if x * middle[0] + y * middle[1] >= 0 else -9
    turned = {"rotation": np.degrees(upright), "rotation_mode": "anchor", "ha": "center", "va": "center"}
    note(axes, text, tuple(middle), (side * x, side * y), **turned, fontsize=8, color=INK)


def _draw_agents(axes: Axes, places: Places, records: Sequence[AgentRecord], views: Views) -> None:
    xs, ys = zip(*(places[record.agent] for record in records), strict=True)
    many = len(records) > 40
    size = 120 if many else 1150
    axes.scatter(xs, ys, s=size, color="white", edgecolor=COLOURS[0], linewidth=1.8, zorder=2)
    for record in records:
        x, y = places[record.agent]
        final, unit = views.metrics(record)[f"final_{record.main.name}"], record.main.unit
        text = f"{100 * final:.1f} %" if unit == PERCENT else f"{final:.3g} {unit}".strip()
        name, size = (str(record.agent), 6) if many else (f"{record.agent}\n", 10)
        axes.text(x, y, name, ha="center", va="center", fontsize=size, fontweight="bold", zorder=3)
        if not many:
            axes.text(x, y, f"\n{text}", ha="center", va="center", fontsize=7.5, zorder=3)
