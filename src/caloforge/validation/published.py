"""Published results on the data sets of the CaloChallenge, as context of a report on one of them."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from caloforge.detectors import CylindricalReadout
from caloforge.validation.evaluation import Evaluation


def published(evaluation: Evaluation) -> dict[str, Any] | None:
    """Return the published results on the data set of a comparison, or None if there are none.

    It is a CaloChallenge data set if it has the kind of readout and the shape of one.
    """
    if not isinstance(evaluation.detector.readout, CylindricalReadout):
        return None
    text = (resources.files("caloforge.validation") / "published.toml").read_text(encoding="utf-8")
    shape = list(evaluation.detector.shape)
    known: list[dict[str, Any]] = tomllib.loads(text)["data_set"]
    return next((one for one in known if one["shape"] == shape), None)
