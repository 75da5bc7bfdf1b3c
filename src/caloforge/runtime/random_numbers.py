"""The random numbers of a sample: they depend on seed and place in the sample, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError

CHUNK = 1000
"""Showers that share one seed; random numbers depend on (seed, number of the chunk) and nothing else."""

NOISE_BLOCK = 64
"""Showers whose noise comes from one source."""

INCIDENTS, NOISE = 0, 1
"""Streams of random numbers of a chunk."""


def random_numbers(seed: int, chunk: int, stream: int, block: int = 0) -> np.random.Generator:
    """Return a source of random numbers: PCG64 of SeedSequence(seed, spawn_key=(chunk, stream, block)).

    Args:
        seed: The seed of the whole sample.
        chunk: Number of the chunk of `CHUNK` showers.
        stream: `INCIDENTS` or `NOISE`.
        block: Number of the block of `NOISE_BLOCK` showers in the chunk; 0 for incidents.

    Raises:
        InputError: If the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed {seed}: expected a whole number that is not negative")
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk, stream, block)))
    )


def noise(seed: int, chunk: int, n: int, size: int, threads: int = 1) -> NDArray[np.float32]:
    """Return the noise of the first n showers of a chunk, (n, size) float32, standard normal.

    Blocks of `NOISE_BLOCK` showers have sources of their own: threads share the work and change nothing.
    """
    values = np.empty((n, size), np.float32)

    def fill(block: int) -> None:
        rng = random_numbers(seed, chunk, NOISE, block)
        rng.standard_normal(out=values[block * NOISE_BLOCK : (block + 1) * NOISE_BLOCK], dtype=np.float32)

    blocks = range(-(-n // NOISE_BLOCK))
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, blocks))
    else:
        for block in blocks:
            fill(block)
    return values
