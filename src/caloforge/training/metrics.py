"""Where losses and scores go: `metrics.jsonl` and TensorBoard."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caloforge.errors import require
from caloforge.files import atomic, writing


class MetricsLog:
    """Appends metrics to a JSON-lines file and to TensorBoard.

    Args:
        path: The JSON-lines file; lines after `step` (of a killed run that is resumed) are dropped.
        tensorboard: Folder for TensorBoard.
        step: Step at which the training starts or goes on.

    Raises:
        FileError: If they cannot be written.
        MissingExtraError: If tensorboard is not installed.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int) -> None:
        self.path = path
        _drop_after(path, step)
        require("tensorboard", "train")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensorboard's own imports
            from torch.utils.tensorboard import SummaryWriter
        with writing(tensorboard):
            self._board: Any = SummaryWriter(str(tensorboard), purge_step=step or None)

    def write(self, step: int, values: Mapping[str, float], group: str) -> None:
        """Write one line: the step and the values, `null` where one is not finite."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "group": group, **finite}) + "\n")
        with writing(self.path.parent):
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Flush and close."""
        with writing(self.path.parent):
            self._board.close()


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # the last line of a run that was killed while it was written
    with atomic(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
