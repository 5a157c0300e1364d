"""A flow's graph as SVG: layers from top to bottom, in the way of Sugiyama (turn loops round, give layers, put what
crosses beside each other, straighten), without a tool beside Python.

Each step's group carries ``data-step`` with the step's path and the class of its kind, so that a page can light it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from flows.graph import Edge, Graph, Node

MAX_NODES = 1500
_WIDTH, _HEIGHT = 200.0, 44.0  # of a node, in pixels
_THREAD = 14.0  # the room that an edge takes on a layer that it only passes
_GAP, _ROW = 26.0, 104.0
_MARGIN = 24.0
_SWEEPS = 12
_LETTERS = 30  # that fit into a node

_STYLE = """
  svg { background: #fff; font: 12px system-ui, sans-serif; }
  .node rect { fill: #fff; stroke: #64748b; }
  .node text { fill: #0f172a; text-anchor: middle; }
  .node .detail { fill: #475569; font-size: 10.5px; }
  .start rect, .over rect { fill: #0f172a; stroke: #0f172a; }
  .start text, .over text { fill: #fff; }
  .section rect { fill: #e0e7ff; stroke: #4f46e5; }
  .handler rect { fill: #fef3c7; stroke: #b45309; }
  .wait rect { fill: #dcfce7; stroke: #15803d; }
  .leave rect { fill: #f1f5f9; }
  .disabled rect { stroke-dasharray: 4; }
  .disabled text { fill: #94a3b8; }
  .edge { fill: none; stroke: #94a3b8; marker-end: url(#tip); }
  .edge.call { stroke-dasharray: 5 3; }
  .label { fill: #334155; font-size: 10.5px; text-anchor: middle; }
  .label { paint-order: stroke; stroke: #fff; stroke-width: 3px; }
""".rstrip()


class TooLargeError(ValueError):
    """More nodes than anyone could look at."""


@dataclass(slots=True)
class _Spot:
    """A node, or the place at which an edge passes a layer."""

    layer: int
    width: float
    x: float = 0.0  # of its middle
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)

    @property
    def y(self) -> float:
        return _MARGIN + self.layer * _ROW


def as_svg(graph: Graph) -> str:
    """The drawing. Raises `TooLargeError` beyond `MAX_NODES` nodes."""
    if len(graph.nodes) > MAX_NODES:
        message = f"{graph.name} has {len(graph.nodes)} steps; more than {MAX_NODES} make no readable drawing"
        raise TooLargeError(f"{message}: use --format mermaid")
    turned = _turned(graph)
    layers_of = _layers(graph, turned)
    spots = {node.id: _Spot(layers_of[node.id], _WIDTH) for node in graph.nodes}
    layers: list[list[_Spot]] = [[] for _ in range(max(layers_of.values()) + 1)]
    for spot in spots.values():
        layers[spot.layer].append(spot)
    ways = {edge: _way(edge, edge in turned, spots, layers) for edge in graph.edges}
    _order(layers)
    _straighten(layers)
    shapes = [_edge(edge, way) for edge, way in ways.items()]
    shapes += [_node(node, spots[node.id]) for node in graph.nodes]
    labels = [_label(edge, way) for edge, way in ways.items() if edge.labels]
    return _page(graph.name, layers, [*shapes, *labels])


def _turned(graph: Graph) -> set[Edge]:
    """The edges that lead back: taken the other way round, nothing goes in a circle."""
    leaving: dict[str, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        leaving[edge.source].append(edge)
    turned: set[Edge] = set()
    state: dict[str, str] = {}
    for node in graph.nodes:
        if node.id in state:
            continue
        state[node.id] = "open"
        stack = [(node.id, iter(leaving[node.id]))]
        while stack:
            id_, ahead = stack[-1]
            found = next(ahead, None)
            if found is None:
                state[id_] = "done"
                stack.pop()
            elif state.get(found.target) == "open":
                turned.add(found)
            elif found.target not in state:
                state[found.target] = "open"
                stack.append((found.target, iter(leaving[found.target])))
    return turned


def _layers(graph: Graph, turned: set[Edge]) -> dict[str, int]:
    """Every node below all that lead to it."""
    ends = [(edge.target, edge.source) if edge in turned else (edge.source, edge.target) for edge in graph.edges]
    below: dict[str, list[str]] = defaultdict(list)
    waiting = {node.id: 0 for node in graph.nodes}
    for upper, lower in ends:
        below[upper].append(lower)
        waiting[lower] += 1
    layers = dict.fromkeys(waiting, 0)
    ready = [id_ for id_, count in waiting.items() if not count]
    while ready:
        upper = ready.pop()
        for lower in below[upper]:
            layers[lower] = max(layers[lower], layers[upper] + 1)
            waiting[lower] -= 1
            if not waiting[lower]:
                ready.append(lower)
    return layers


def _way(edge: Edge, is_turned: bool, spots: dict[str, _Spot], layers: list[list[_Spot]]) -> list[_Spot]:
    """The spots that an edge passes, from its source to its target; each knows the ones above and below it."""
    source, target = spots[edge.source], spots[edge.target]
    upper, lower = (target, source) if is_turned else (source, target)
    way = [upper]
    for layer in range(upper.layer + 1, lower.layer):
        spot = _Spot(layer, _THREAD)
        layers[layer].append(spot)
        way.append(spot)
    way.append(lower)
    for first, second in pairwise(way):
        first.below.append(second)
        second.above.append(first)
    return way[::-1] if is_turned else way


def _order(layers: list[list[_Spot]]) -> None:
    """Spots of a layer stand in the order of their neighbours' middles, down and up in turn, which undoes crossings."""
    place = {id(spot): float(number) for layer in layers for number, spot in enumerate(layer)}

    def middle(spot: _Spot, neighbours: list[_Spot]) -> float:
        return sum(place[id(near)] for near in neighbours) / len(neighbours) if neighbours else place[id(spot)]

    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            wished = {id(spot): middle(spot, spot.above if down else spot.below) for spot in layer}
            layer.sort(key=lambda spot: wished[id(spot)])
            place.update({id(spot): float(number) for number, spot in enumerate(layer)})


def _straighten(layers: list[list[_Spot]]) -> None:
    """Move spots towards their neighbours without changing the order or coming too close."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            neighbours = [(spot.above if down else spot.below) or [spot] for spot in layer]
            _settle(layer, [sum(near.x for near in group) / len(group) for group in neighbours])


def _settle(layer: list[_Spot], wished: list[float]) -> None:
    """Wishes, pushed apart from both sides; the mean of two orders that keep their distance keeps it, too."""
    apart = [(first.width + second.width) / 2 + _GAP for first, second in pairwise(layer)]
    right, left = list(wished), list(wished)
    for number, distance in enumerate(apart):
        right[number + 1] = max(right[number + 1], right[number] + distance)
    for number in range(len(apart) - 1, -1, -1):
        left[number] = min(left[number], left[number + 1] - apart[number])
    for spot, first, second in zip(layer, left, right, strict=True):
        spot.x = (first + second) / 2


def _page(name: str, layers: list[list[_Spot]], shapes: list[str]) -> str:
    left = min(spot.x - spot.width / 2 for layer in layers for spot in layer) - _MARGIN
    right = max(spot.x + spot.width / 2 for layer in layers for spot in layer) + _MARGIN
    width, height = right - left, 2 * _MARGIN + (len(layers) - 1) * _ROW + _HEIGHT
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(name)}</title>",
        f"<style>{_STYLE}\n</style>",
        f'<defs>{tip}<path d="M0 0L8 4L0 8z" fill="#94a3b8"/></marker></defs>',
    ]
    return "\n".join([*head, *shapes, "</svg>"])


def _node(node: Node, spot: _Spot) -> str:
    x, y = spot.x, spot.y
    round_ = 22 if node.kind in ("start", "over", "wait") else 5
    words = f"{node.title} {node.detail}".strip() + (f" (line {node.line})" if node.line else "")
    rows = [(node.title, "title", 0.0)]
    if node.detail:
        rows = [(node.title, "title", -7.0), (node.detail, "detail", 9.0)]
    text = "".join(
        f'<text class="{name}" x="{x:.1f}" y="{y + _HEIGHT / 2 + 4 + shift:.1f}">{escape(_short(part))}</text>'
        for part, name, shift in rows
    )
    return (
        f'<g class="node {node.kind}" data-step="{escape(node.id)}"><title>{escape(words)}</title>'
        f'<rect x="{x - _WIDTH / 2:.1f}" y="{y:.1f}" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" rx="{round_}"/>'
        f"{text}</g>"
    )


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"


def _edge(edge: Edge, way: list[_Spot]) -> str:
    """A smooth line from spot to spot; it leaves and enters nodes at their middle."""
    upwards = way[0].layer > way[-1].layer
    out, into = (0.0, _HEIGHT) if upwards else (_HEIGHT, 0.0)
    path = f"M{way[0].x:.1f} {way[0].y + out:.1f}"
    for first, second in pairwise(way):
        start, end = first.y + out, second.y + into
        half = (start + end) / 2
        path += f"C{first.x:.1f} {half:.1f} {second.x:.1f} {half:.1f} {second.x:.1f} {end:.1f}"
        if second is not way[-1]:
            path += f"L{second.x:.1f} {second.y + out:.1f}"
    kind = "edge call" if edge.is_call else "edge"
    ends = f'data-from="{escape(edge.source)}" data-to="{escape(edge.target)}"'
    return f'<path class="{kind}" {ends} d="{path}"/>'


def _label(edge: Edge, way: list[_Spot]) -> str:
    """The outcomes, where the edge has just left its source."""
    first, second = way[0], way[1]
    down = second.layer > first.layer
    y = first.y + _HEIGHT + (_ROW - _HEIGHT) * 0.62 if down else first.y - (_ROW - _HEIGHT) * 0.5
    x = first.x + (second.x - first.x) * 0.7
    return f'<text class="label" x="{x:.1f}" y="{y:.1f}">{escape(_short(", ".join(edge.labels)))}</text>'
