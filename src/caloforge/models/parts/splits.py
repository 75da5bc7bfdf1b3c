"""The order in which layers are halved: pieces of pieces, down to single layers."""

from __future__ import annotations

from dataclasses import dataclass

SEEN = 2
"""Pieces on either side that a split sees."""


@dataclass(frozen=True)
class Split:
    """A piece of layers that is cut in two.

    Attributes:
        edges: First layers of what is seen: `SEEN` pieces before, the piece, `SEEN` pieces after, and the end of
            the last one; pieces that are not there are empty.
        middle: First layer of the back part.
    """

    edges: tuple[int, ...]
    middle: int


def plan_splits(n_layers: int) -> list[list[Split]]:
    """Plan how layers are halved.

    Args:
        n_layers: Number of layers.

    Returns:
        The splits of each step; those of a step know nothing of each other.

    >>> [[split.middle for split in step] for step in plan_splits(5)]
    [[3], [2], [4], [1]]
    """
    edges = [0, n_layers]
    steps = []
    while len(edges) <= n_layers:
        large = [k for k in range(len(edges) - 1) if edges[k + 1] - edges[k] > 1]
        pieces = [(edges[k], edges[k + 1]) for k in large]
        for parity in (0, 1):
            chosen = [piece for k, piece in zip(large, pieces, strict=True) if k % 2 == parity]
            if chosen:
                steps.append([_split(edges, *piece) for piece in chosen])
                edges = sorted({*edges, *(split.middle for split in steps[-1])})
    return steps


def _split(edges: list[int], first: int, end: int) -> Split:
    before, after = [edge for edge in edges if edge < first], [edge for edge in edges if edge > end]
    front = [edges[0]] * SEEN + before
    back = after + [edges[-1]] * SEEN
    return Split((*front[-SEEN:], first, end, *back[:SEEN]), first + (end - first + 1) // 2)
