"""Precision, recall, density and coverage of a sample of feature vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NEAREST = 5
"""Number of nearest neighbours that make the ball around a vector."""

_BLOCK = 1000


@dataclass(frozen=True)
class Manifold:
    """How two samples cover each other, each in balls that reach to the fifth neighbour in the own sample.

    Attributes:
        precision: Share of generated vectors inside a ball of the reference (Kynkäänniemi et al.,
            arXiv:1904.06991): showers that could be real.
        recall: Share of reference vectors inside a ball of the generated sample: what the model can make.
        density: Mean number of reference balls around a generated vector over 5 (Naeem et al.,
            arXiv:2002.09797); 1 for equal distributions, robust against outliers.
        coverage: Share of reference balls with a generated vector inside; 1 - 1/2^5 for equal distributions
            and sizes.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(generated: NDArray[np.floating], reference: NDArray[np.floating]) -> Manifold:
    """Return precision, recall, density and coverage.

    Args:
        generated: (n, n_features), in units in which a distance means something.
        reference: (m, n_features).
    """
    fake, true = (np.ascontiguousarray(v, dtype=np.float32) for v in (generated, reference))
    fake_radius, true_radius = ball_radii(fake), ball_radii(true)
    in_true = np.zeros(len(fake))
    recalled = np.zeros(len(true), dtype=bool)
    covered = np.zeros(len(true), dtype=bool)
    for start in range(0, len(fake), _BLOCK):
        part = slice(start, start + _BLOCK)
        distance = distances(fake[part], true)
        inside = distance <= true_radius
        in_true[part] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= (distance <= fake_radius[part, None]).any(axis=0)
    return Manifold(
        float((in_true > 0).mean()),
        float(recalled.mean()),
        float(in_true.mean()) / NEAREST,
        float(covered.mean()),
    )


def ball_radii(vectors: Floats) -> Floats:
    """Return the distance of each vector to its fifth neighbour, (n,)."""
    radii = np.empty(len(vectors), dtype=np.float32)
    k = min(NEAREST, len(vectors) - 1)
    for start in range(0, len(vectors), _BLOCK):
        distance = distances(vectors[start : start + _BLOCK], vectors)
        radii[start : start + _BLOCK] = np.partition(distance, k, axis=1)[:, k]
    return radii


def distances(first: Floats, second: Floats) -> Floats:
    """Return the Euclidean distances between vectors, (n, m)."""
    square = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    found: Floats = np.sqrt(np.maximum(square, 0))
    return found
