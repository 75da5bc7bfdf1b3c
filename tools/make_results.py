"""Write `docs/results.md` and the figures of the models' cards from what validation and benchmark measured.

Usage:

    python tools/make_results.py RESULTS docs/results.md

RESULTS holds a folder per model with `metrics.json` (`caloforge validate FILE REFERENCE -o FOLDER`) and
`benchmark.json` (`caloforge benchmark MODEL --json`). `figures.json` is written beside them, for
`caloforge export MODEL.onnx -o MODEL.onnx --figures figures.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CLASSIFIERS = {
    "auc_trees": "AUC, boosted trees on high-level features",
    "auc_mlp_high": "AUC, MLP on the same",
    "auc_mlp_cells": "AUC, MLP on cells",
    "auc_resnet_cells": "AUC, 3D ResNet on cells",
}
SEPARATIONS = ("response", "depth", "hits", "cell spectrum", "maximum cell")
HEAD = """# Results

Written by `tools/make_results.py` from the files in [results/](results/); the commands are at the end.
The floor is the same number between two Geant4 samples of the same sizes. AUC: 0.5 is perfect.
"""


def measured(metrics: dict[str, Any]) -> dict[str, tuple[float, float, float, float]]:
    """Value, error, floor and its error of what the table shows, by its row."""
    rows = {}
    classifiers = {entry["key"]: entry for entry in metrics["classifiers"]}
    for key, title in CLASSIFIERS.items():
        entry = classifiers.get(key)
        if entry and entry["auc"] is not None:
            rows[title] = (entry["auc"], entry["error"], entry["floor"], entry["floor_error"])
    for entry in metrics["observables"]:
        if entry["selection"] == "all" and entry["observable"] in SEPARATIONS:
            power = entry["separation"]
            rows[f"separation power, {entry['observable']}"] = tuple(
                power[name] for name in ("value", "error", "floor", "floor_error")
            )
    score = metrics["physics_score"]
    if score:
        rows["physics_score"] = (score["value"], 0.0, score["floor"], score["floor_error"])
    return rows


def table(models: dict[str, dict[str, Any]]) -> list[str]:
    """The table of fidelity and speed, a column per model."""
    lines = [f"| | {' | '.join(models)} | floor |", "|---|" + "---|" * (len(models) + 1)]
    found = {name: measured(model["metrics"]) for name, model in models.items()}
    titles = dict.fromkeys(title for rows in found.values() for title in rows)
    for title in titles:
        cells = [found[name].get(title) for name in models]
        texts = ["" if c is None else f"{c[0]:.4f}" + (f" ± {c[1]:.4f}" if c[1] else "") for c in cells]
        floor = next(c for c in cells if c is not None)
        lines.append(f"| {title} | {' | '.join(texts)} | {floor[2]:.4f} ± {floor[3]:.4f} |")
    for title, show in (
        ("ms per shower, batch 1", lambda b: _speed(b, 1)),
        ("ms per shower, batch 16", lambda b: _speed(b, 16)),
        ("ms per shower, batch 128", lambda b: _speed(b, 128)),
        ("Geant4, ms per shower, same run", lambda b: f"{b['geant4']['mean']:.0f}"),
        ("speed-up, batch 128", lambda b: f"{_entry(b, 128)['speedup']:.0f}"),
        ("speed-up core for core", lambda b: f"{_entry(b, 128)['speedup_per_core']:.0f}"),
    ):
        lines.append(f"| {title} | {' | '.join(show(m['benchmark']) for m in models.values())} | |")
    for title, key, scale in (("MFLOP per shower", "flops", 1e6), ("parameters", "parameters", 1)):
        numbers = [f"{model['card'][key] / scale:.4g}" for model in models.values()]
        lines.append(f"| {title} | {' | '.join(numbers)} | |")
    return lines


def response(models: dict[str, dict[str, Any]]) -> list[str]:
    """The table of response and resolution, a row per particle and range of energy."""
    lines = [
        "| | GeV | " + " | ".join(f"bias, {n} | resolution ratio, {n}" for n in models) + " |",
        "|---|---|" + "---|---|" * len(models),
    ]
    for kind in ("decades", "bins"):
        rows: dict[tuple[str, float, float], dict[str, str]] = {}
        for name, model in models.items():
            for b in model["metrics"]["response"][kind]:
                bias = f"{100 * b['bias']:+.2f} ± {100 * b['bias_error']:.2f} %"
                ratio = f"{b['resolution_ratio']:.3f} ± {b['resolution_ratio_error']:.3f}"
                rows.setdefault((b["particle"], b["low_gev"], b["high_gev"]), {})[name] = f"{bias} | {ratio}"
        for (particle, low, high), texts in rows.items():
            cells = " | ".join(texts.get(name, " | ") for name in models)
            lines.append(f"| {particle} | {low:g} to {high:g} | {cells} |")
    return lines


def _entry(benchmark: dict[str, Any], batch: int) -> dict[str, Any]:
    return next(entry for entry in benchmark["models"] if entry["batch"] == batch)


def _speed(benchmark: dict[str, Any], batch: int) -> str:
    timing = _entry(benchmark, batch)["timing"]
    return f"{timing['mean']:.3f} ± {timing['standard_error']:.3f}"


def card_figures(model: dict[str, Any]) -> dict[str, Any]:
    """The tables `validation` and `speed` of a model's card."""
    benchmark = model["benchmark"]
    validation = {
        title: {"value": round(v[0], 4), "error": round(v[1], 4), "floor": round(v[2], 4)}
        for title, v in measured(model["metrics"]).items()
    }
    for b in model["metrics"]["response"]["decades"]:
        title = f"response bias, {b['particle']}, {b['low_gev']:g} to {b['high_gev']:g} GeV"
        validation[title] = {"value": round(b["bias"], 4), "error": round(b["bias_error"], 4), "floor": 0.0}
    speed = {
        "ms_per_shower": round(_entry(benchmark, 128)["timing"]["mean"], 3),
        "batch": 128,
        "threads": benchmark["threads"],
        "engine": benchmark["backend"],
        "machine": benchmark["machine"]["cpu"],
        "geant4_ms": round(benchmark["geant4"]["mean"], 1),
    }
    return {"validation": validation, "speed": speed}


def main() -> None:
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    models: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/metrics.json")):
        from caloforge.runtime import load

        name = path.parent.name
        models[name] = {
            "metrics": json.loads(path.read_text()),
            "benchmark": json.loads((path.parent / "benchmark.json").read_text()),
            "card": load(name).card.to_json(),
        }
        figures = json.dumps(card_figures(models[name]), indent=2)
        (path.parent / "figures.json").write_text(figures + "\n")
    first = next(iter(models.values()))
    machine, samples = first["benchmark"]["machine"], first["metrics"]["samples"]
    notes = output.with_name("results-notes.md")
    text = [
        HEAD,
        *table(models),
        "",
        f"{samples['generated']['showers']} generated against {samples['reference']['showers']} Geant4 showers, "
        "e- and gamma, 1 to 100 GeV, threshold 0.015 MeV. Speeds: "
        f"{machine['cpu']}, {machine['cores']} cores, {first['benchmark']['threads']} threads, "
        f"{first['benchmark']['backend']}, load {machine['load']:g} at the beginning, drawing of noise included; "
        "Geant4 on one core.",
        "",
        "## Response and resolution",
        "",
        *response(models),
        "",
        notes.read_text() if notes.exists() else "",
    ]
    output.write_text("\n".join(text).rstrip() + "\n")
    print(output)


if __name__ == "__main__":
    main()
