"""The order in which layers are drawn.

The first stage draws every fourth layer, the second those in the middle between them, the third all others: each layer
sees what is nearest before and after it. Layers that are four apart, given their hits and energies, fluctuate nearly
independently (docs/lab.md, 36). So three steps do for any number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Layers that are drawn at once.

    Attributes:
        layers: Their numbers.
        before: For each, where the nearest layer before it stands among those drawn in earlier stages, counted from 1
            in the order of drawing; 0 if there is none.
        after: Likewise after it.
    """

    layers: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def plan_stages(n_layers: int) -> tuple[Stage, ...]:
    """Plan in which order layers are drawn.

    >>> [stage.layers for stage in plan_stages(7)]
    [(0, 4), (2, 6), (1, 3, 5)]
    >>> plan_stages(7)[2].before, plan_stages(7)[2].after
    ((1, 3, 2), (3, 2, 4))
    """
    groups = [range(0, n_layers, 4), range(2, n_layers, 4), range(1, n_layers, 2)]
    drawn: list[int] = []
    stages = []
    for group in groups:
        if group:
            near = [
                [max([k for k in drawn if k < layer], default=-1) for layer in group],
                [min([k for k in drawn if k > layer], default=-1) for layer in group],
            ]
            before, after = (tuple(drawn.index(k) + 1 if k >= 0 else 0 for k in side) for side in near)
            stages.append(Stage(tuple(group), before, after))
            drawn += group
    return tuple(stages)
