"""Judging a generator during training: the physics score against held-out showers."""

from __future__ import annotations

import math

import torch

from caloforge.detectors import Detector
from caloforge.errors import InputError, TrainingError
from caloforge.models import Generator
from caloforge.physics.observables import observe
from caloforge.physics.score import PhysicsScore, score_parts
from caloforge.showers import Incidents, Showers

BATCH = 256


@torch.no_grad()
def draw(generator: Generator, incidents: Incidents, detector: Detector, seed: int) -> Showers:
    """Draw one shower per incident with a seeded noise, the detector's threshold applied.

    Args:
        generator: In eval mode, on any device.
        incidents: The incidents.
        detector: The detector.
        seed: Of the noise, which is drawn on the CPU.
    """
    device = next((t.device for t in generator.state_dict().values()), torch.device("cpu"))
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(incidents), generator.noise_size, generator=random)
    matrix = torch.from_numpy(incidents.matrix())
    parts = [
        generator(matrix[i : i + BATCH].to(device), noise[i : i + BATCH].to(device)).float().cpu()
        for i in range(0, len(incidents), BATCH)
    ]
    return Showers(torch.cat(parts).numpy(), incidents, detector).with_threshold()


class Validator:
    """Scores generators against one held-out sample, always with the same noise.

    Args:
        reference: Held-out showers of Geant4.
        detector: Their detector.
        seed: Of the noise.

    Raises:
        TrainingError: If there are too few held-out showers for a score.
    """

    def __init__(self, reference: Showers, detector: Detector, seed: int) -> None:
        self.incidents, self.detector, self.seed = reference.incidents, detector, seed
        self.reference = observe(reference)
        try:
            score_parts(self.reference, self.reference)
        except InputError as error:
            raise TrainingError(
                f"{len(reference)} held-out showers do not make a physics score ({error}): give more data, "
                "or raise data.validation_fraction or training.validation_showers"
            ) from error

    def score(self, generator: Generator) -> PhysicsScore:
        """Return the physics score of a generator; infinite if its showers are not usable."""
        showers = draw(generator, self.incidents, self.detector, self.seed)
        score = score_parts(showers, self.reference)
        return score if math.isfinite(score.total) else PhysicsScore(math.inf, {})
