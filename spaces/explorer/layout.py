"""Where the boxes and arrows of a lineage go: layers from top to bottom, and no arrow behind a box.

An arrow that passes layers gets a place of its own in each of them, so that it goes between the boxes.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

BOX, LANE, LAYER = 168, 22, 84
"""Width of a box, width of an arrow that passes a layer, distance from layer to layer; in units of the drawing."""
HEIGHT = 46
"""Height of a box."""

Point = tuple[float, float]


def lay_out(inputs: Mapping[str, Sequence[str]]) -> tuple[dict[str, Point], list[list[Point]], float, float]:
    """Places of the boxes' centres, the points each arrow goes through, and width and height of the drawing.

    Args:
        inputs: name → the names it was made from; without circles.
    """
    depth = _depths(inputs)
    layers: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=0))]
    for name, level in depth.items():
        layers[level].append(name)
    before: dict[str, list[str]] = {name: [] for name in depth}
    chains: list[list[str]] = []
    for name, sources in inputs.items():
        for source in sources:
            chain = [source, *(f"{source}→{name}→{i}" for i in range(depth[source] + 1, depth[name])), name]
            for i, lane in enumerate(chain[1:-1], depth[source] + 1):
                layers[i].append(lane)
                before[lane] = []
            for first, second in pairwise(chain):
                before[second].append(first)
            chains.append(chain)
    _untangle(layers, before)
    place = _places(layers, set(depth))
    width = max(x for x, _ in place.values()) + BOX / 2 + 8
    height = len(layers) * LAYER - (LAYER - HEIGHT) + 16
    return {name: place[name] for name in depth}, [_through(chain, place) for chain in chains], width, height


def _through(chain: list[str], place: dict[str, Point]) -> list[Point]:
    """The points of an arrow: from the lower edge of a box, straight down through lanes, to the upper edge of a box."""
    ends = [(place[name][0], place[name][1] + side * HEIGHT / 2) for name in chain for side in (-1, 1)]
    return ends[1:-1]


def _depths(inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each name; what is made from nothing stands one layer above the first that is made from it."""
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((of(source) for source in inputs.get(name, ())), default=-1)
        return depth[name]

    for name in inputs:
        of(name)
    for name in [name for name in depth if not inputs.get(name)]:
        depth[name] = min((depth[user] for user, sources in inputs.items() if name in sources), default=1) - 1
    return depth


def _untangle(layers: list[list[str]], before: dict[str, list[str]]) -> None:
    """Order each layer by the mean place of its neighbours, up and down by turns, so that few arrows cross."""
    after: dict[str, list[str]] = {name: [] for name in before}
    for name, sources in before.items():
        for source in sources:
            after[source].append(name)
    for sweep in range(8):
        down = sweep % 2 == 0
        for above, layer in zip(layers if down else layers[::-1], layers[1:] if down else layers[-2::-1], strict=False):
            rank = {name: i / max(1, len(above) - 1) for i, name in enumerate(above)}
            near = before if down else after

            def mean(name: str, rank: dict[str, float] = rank, near: dict[str, list[str]] = near) -> float:
                found = [rank[other] for other in near[name] if other in rank]
                return sum(found) / len(found) if found else 0.5

            layer.sort(key=mean)


def _places(layers: list[list[str]], boxes: set[str]) -> dict[str, Point]:
    """The centre of every box and lane: each layer is centred."""
    widths = [[BOX if name in boxes else LANE for name in layer] for layer in layers]
    gap = 16
    total = max(sum(row) + gap * (len(row) - 1) for row in widths)
    place: dict[str, Point] = {}
    for level, (layer, row) in enumerate(zip(layers, widths, strict=True)):
        x = 8 + (total - sum(row) - gap * (len(row) - 1)) / 2
        for name, width in zip(layer, row, strict=True):
            place[name] = (x + width / 2, 8 + HEIGHT / 2 + level * LAYER)
            x += width + gap
    return place
