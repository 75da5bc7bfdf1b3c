"""Figures of response and resolution in bins of energy, angle and impact point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caloforge.showers import particle_name
from caloforge.units import GeV
from caloforge.validation.bias import BIAS_LIMIT, RESOLUTION_LIMIT, Bias
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.plotting import (
    BAND,
    MODELS,
    REFERENCE,
    Figure,
    energy_axis,
    png,
    ratio_panels,
)

_SHADED = "Shaded in the ratio: up to the limit of a wrong result (1 % and 5 %), and a third of it."


def response(evaluation: Evaluation) -> Figure | None:
    """Draw response and resolution against energy, or nothing if every bin has too few showers."""
    if not evaluation.bins:  # too few showers in every bin of energy
        return None
    pdgs = sorted({b.reference.pdg for b in evaluation.bins})
    figure, panels = ratio_panels(2 * len(pdgs), 2, (5.2, 3.9))
    for row, pdg in enumerate(pdgs):
        bins = [b for b in evaluation.bins if b.reference.pdg == pdg]
        pair = panels[2 * row : 2 * row + 2]
        _response_panels(pair, bins, _latex(pdg))
        fit = next(f for f in evaluation.fits if f.particle == particle_name(pdg))
        for one, colour in ((fit.reference, BAND), (fit.generated, MODELS[0])):
            if one is not None:
                energy = np.geomspace(bins[0].reference.low, bins[-1].reference.high, 100)
                pair[1][0].plot(energy / GeV, 100 * one(energy), color=colour, linewidth=0.8, linestyle="--")
        for _, ratio in pair:
            energy_axis(ratio)
    panels[0][0].legend(loc="upper right")
    return Figure(
        "response",
        "Response and resolution against energy",
        f"Mean and relative standard deviation of visible / incident energy in bins of incident energy. {_SHADED} "
        "Dashed: the fit a/√E ⊕ b/E ⊕ c.",
        png(figure),
    )


def response_by_incident(evaluation: Evaluation) -> Figure | None:
    """Draw response and resolution in bins of theta and of the impact point, or nothing if these do not vary."""
    bins = (*evaluation.angles, *evaluation.positions)
    groups = list(dict.fromkeys((b.reference.pdg, b.variable, b.unit) for b in bins))
    if not groups:
        return None
    figure, panels = ratio_panels(2 * len(groups), 2, (5.2, 3.9))
    for row, (pdg, variable, unit) in enumerate(groups):
        own = [b for b in bins if (b.reference.pdg, b.variable) == (pdg, variable)]
        pair = panels[2 * row : 2 * row + 2]
        _response_panels(pair, own, f"{_latex(pdg)}, {variable}")
        for _, ratio in pair:
            ratio.set_xlabel(f"{variable} [{unit}]")
    panels[0][0].legend(loc="best")
    return Figure(
        "response-incident",
        "Response and resolution against angle and impact point",
        "Mean and relative standard deviation of visible / incident energy, over all energies, in bins of theta and of "
        f"the distance of the impact point from the middle in x and y. {_SHADED}",
        png(figure),
    )


def _response_panels(pair: Sequence[tuple[Any, Any]], bins: Sequence[Bias], title: str) -> None:
    """Draw response and resolution with their ratios."""
    (top, ratio), (top_right, ratio_right) = pair
    _in_bins(
        top,
        ratio,
        bins,
        [(100 * b.response, 100 * b.response_error) for b in (x.reference for x in bins)],
        [(100 * b.response, 100 * b.response_error) for b in (x.generated for x in bins)],
        [(b.bias + 1, b.bias_error) for b in bins],
        (BIAS_LIMIT / 3, BIAS_LIMIT),
    )
    top.set_ylabel("response [%]")
    top.set_title(f"{title}: response")
    _in_bins(
        top_right,
        ratio_right,
        bins,
        [(100 * b.resolution, 100 * b.resolution_error) for b in (x.reference for x in bins)],
        [(100 * b.resolution, 100 * b.resolution_error) for b in (x.generated for x in bins)],
        [(b.resolution_ratio, b.resolution_ratio_error) for b in bins],
        (RESOLUTION_LIMIT / 3, RESOLUTION_LIMIT),
    )
    top_right.set_ylabel(r"resolution $\sigma/\mu$ [%]")
    top_right.set_title(f"{title}: resolution")


def _latex(pdg: int) -> str:
    known = {11: "$e^-$", -11: "$e^+$", 22: r"$\gamma$", 111: r"$\pi^0$", 211: r"$\pi^+$", -211: r"$\pi^-$"}
    return known.get(pdg, particle_name(pdg))


def _in_bins(
    top: Any,
    ratio: Any,
    bins: Sequence[Bias],
    reference: Sequence[tuple[float, float]],
    generated: Sequence[tuple[float, float]],
    ratios: Sequence[tuple[float, float]],
    limits: tuple[float, float],
) -> None:
    from matplotlib import ticker

    low, high = (np.array([getattr(b, end) for b in bins]) for end in ("low", "high"))
    centres = [b.middle for b in bins]
    for number, (left, right, (value, error)) in enumerate(zip(low, high, reference, strict=True)):
        label = "Geant4" if number == 0 else None
        top.fill_between(
            [left, right], value - error, value + error, color=REFERENCE, label=label, linewidth=0
        )
        top.plot([left, right], [value, value], color=BAND, linewidth=1)
    for axes, points, label in ((top, generated, "model"), (ratio, ratios, None)):
        values, errors = np.array(points).reshape(-1, 2).T
        axes.errorbar(
            centres, values, errors, fmt="o", color=MODELS[0], markersize=4, linewidth=1.1, label=label
        )
    for limit, colour in zip(reversed(limits), ("#eceef1", "#d9dde2"), strict=True):
        ratio.axhspan(1 - limit, 1 + limit, color=colour, linewidth=0)
    ratio.axhline(1, color="black", linewidth=0.6)
    values, errors = np.array(ratios).reshape(-1, 2).T
    reach = 1.2 * float(np.nanmax(np.abs(values - 1) + errors, initial=limits[1]))
    ratio.set_ylim(1 - reach, 1 + reach)
    ratio.yaxis.set_major_locator(ticker.MaxNLocator(3, prune="both"))
