"""Discretised logistics: whole numbers between 0 and a total (PixelCNN++, Salimans et al., arXiv:1701.05517)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NARROWEST, WIDEST = -4.0, 3.0
"""Least and largest logarithm of the width of a logistic, in units of `SPREAD` * sqrt(total + 1)."""
SPREAD = 0.3
"""Width of a logistic whose standard deviation is close to that of a binomial distribution at its widest."""
LEAST = -50.0
"""Least logarithm of a probability."""


def log_probability(part: Tensor, total: Tensor, place: Tensor, log_width: Tensor) -> Tensor:
    """Logarithm of the probability of a part of a total; all arguments broadcast.

    Args:
        part: Whole numbers from 0 to `total`.
        total: Whole numbers.
        place: Log-odds of the middle of the logistic among the total.
        log_width: Logarithm of its width, see `NARROWEST`.
    """
    room = total + 1
    middle = room * torch.sigmoid(place) - 0.5
    width = SPREAD * room.sqrt() * log_width.clamp(NARROWEST, WIDEST).exp()
    upper = functional.logsigmoid((part + 0.5 - middle) / width)
    log_upper = torch.where(part >= total, torch.zeros_like(upper), upper)
    lower = torch.where(part <= 0, -torch.inf, functional.logsigmoid((part - 0.5 - middle) / width))
    difference = (lower - log_upper).clamp(max=-1e-6)
    return (log_upper + torch.log1p(-difference.exp())).clamp(min=LEAST)


def draw(total: Tensor, place: Tensor, log_width: Tensor, logistic: Tensor) -> Tensor:
    """Draw parts of totals, not below 0 (cut them at the total); all arguments of one shape.

    Args:
        total: Whole numbers.
        place: As in `log_probability`.
        log_width: As in `log_probability`.
        logistic: Numbers from a logistic distribution, times `SPREAD`.
    """
    room = total + 1
    shift = log_width.clamp(NARROWEST, WIDEST).exp() * logistic * room.sqrt()
    return (room * torch.sigmoid(place) + shift).floor().clamp(min=0.0)


def standard_logistic(tail: Tensor) -> Tensor:
    """Turn probabilities of a larger number into numbers of a logistic distribution."""
    return ((1 - tail) / tail).log()
