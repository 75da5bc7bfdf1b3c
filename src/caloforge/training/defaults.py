"""The recipe that is used where none is given."""

from __future__ import annotations

from typing import Any

DEFAULT: dict[str, Any] = {
    "model": {"approach": "nested3d"},
    "data": {"validation_fraction": 0.1},
    "training": {
        "steps": 8000,
        "batch_size": 192,
        "schedule": "cosine",
        "warmup_steps": 100,
        "ema_decay": 0.998,
        "gradient_clip": 2.0,
        "validate_every": 2000,
        "validation_showers": 2000,
        "checkpoint_every": 250,
        "log_every": 50,
    },
}
"""What `caloforge train --detector X --data FILE -o RUN` trains; the approach sizes itself."""
