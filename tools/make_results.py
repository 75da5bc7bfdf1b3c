"""Write `docs/results.md` and the figures of the models' cards from what validation and benchmark measured.

Usage:

    python tools/make_results.py RESULTS docs/results.md
    python tools/make_results.py README.md          # the table of the shipped models, from their cards

RESULTS holds a folder per model with

- `metrics.json`: `caloforge validate FILE REFERENCE --training SHOWERS -o FOLDER`,
- `benchmark.json`: `caloforge benchmark MODEL --json`,
- `training.json`: `{"minutes": 42, "hardware": "one core, AMD EPYC (Zen 5)"}`, as measured,
- `card.json`: `caloforge export RUN -o MODEL.onnx --json`, for models that the package does not ship.

and, beside the folders, `yardsticks.json`: `python tools/yardstick.py`. `figures.json` is written into the folders, for
`caloforge export MODEL.onnx -o MODEL.onnx --figures figures.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from caloforge.showers import IncidentSpectrum
from excesses import WRONG, excesses

CLASSIFIERS = {
    "auc_trees": "AUC, boosted trees on high-level features",
    "auc_mlp_high": "AUC, MLP on the same",
    "auc_mlp_cells": "AUC, MLP on cells",
    "auc_resnet_cells": "AUC, 3D ResNet on cells",
}
SEPARATIONS = ("response", "depth", "hits", "cell spectrum", "maximum cell")
SCORES = {
    "memorised": "memorisation: part closer to training showers than 1 % of Geant4's",
    "diversity": "diversity: median distance between showers / Geant4's",
    "diversity_spectrum": "diversity: distances between showers, Wasserstein",
}
MARKS = ("<!-- models: written by tools/make_results.py README.md -->", "<!-- end of models -->")
"""Lines around the table of the README."""
HEAD = """# Results

Written by `tools/make_results.py` from the files in [results/](results/); the commands are at the end. Each
detector has a table. The floor is the same number between two Geant4 samples of the same sizes. AUC: 0.5 is
perfect. Models that were compared with another reference have their floor in brackets. Excess: what the largest
difference has beyond two standard errors, in bins of at least 1000 showers (`tools/excesses.py`): bias and resolution
as fractions, the mean of the centroid in standard deviations of Geant4's, spreads as ratio minus 1. Wrong: observables
of all showers, of 41. Yardstick: the time of `clic-ecal` of commit c903d28 in the same run (`tools/yardstick.py`).
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
    scores = {entry["key"]: entry for entry in metrics["scores"]}
    for key, title in SCORES.items():
        entry = scores.get(key)
        if entry and not entry["skipped"]:
            rows[title] = tuple(entry[name] for name in ("value", "error", "floor", "floor_error"))
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
        rows = {name: found[name][title] for name in models if title in found[name]}
        floors = {name: f"{c[2]:.4f}" for name, c in rows.items()}
        floor = max(floors.values(), key=list(floors.values()).count)
        error = next(rows[name][3] for name in rows if floors[name] == floor)
        texts = []
        for name in models:
            c = rows.get(name)
            text = "" if c is None else f"{c[0]:.4f}" + (f" ± {c[1]:.4f}" if c[1] else "")
            if c is not None and floors[name] != floor:  # judged by another reference
                text += f" ({c[2]:.4f})"
            texts.append(text)
        lines.append(f"| {title} | {' | '.join(texts)} | {floor} ± {error:.4f} |")
    beyond = {name: excesses(model["metrics"]) for name, model in models.items()}
    for title in next(iter(beyond.values())):
        texts = [f"{found[title]:.3g}" for found in beyond.values()]
        lines.append(f"| {title if title == WRONG else 'excess, ' + title} | {' | '.join(texts)} | |")
    for title, show in (
        ("showers compared, of the model and of Geant4", _compared),
        ("file size in MB", lambda m: f"{m['bytes'] / 1e6:.2f}"),
        ("training, minutes", lambda m: f"{m['training']['minutes']:.3g}" if m["training"] else ""),
        ("training, hardware", lambda m: m["training"]["hardware"] if m["training"] else ""),
    ):
        lines.append(f"| {title} | {' | '.join(show(model) for model in models.values())} | |")
    for title, show in (
        ("ms per shower, batch 1", lambda b: _speed(b, 1)),
        ("ms per shower, batch 16", lambda b: _speed(b, 16)),
        ("ms per shower, batch 128", lambda b: _speed(b, 128)),
        ("yardsticks, batch 128", lambda b: _yardsticks(b, 128)),
        ("yardsticks, batch 1", lambda b: _yardsticks(b, 1)),
        ("threads", lambda b: str(b["threads"])),
        ("load of the machine before", lambda b: f"{b['machine']['load']:g}"),
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
                bias = _with_error(b["bias"], b["bias_error"], 100, "+.2f", " %")
                ratio = _with_error(b["resolution_ratio"], b["resolution_ratio_error"], 1, ".3f")
                rows.setdefault((b["particle"], b["low_gev"], b["high_gev"]), {})[name] = f"{bias} | {ratio}"
        for (particle, low, high), texts in rows.items():
            cells = " | ".join(texts.get(name, " | ") for name in models)
            lines.append(f"| {particle} | {low:g} to {high:g} | {cells} |")
    return lines


def _with_error(value: float | None, error: float | None, scale: float, digits: str, unit: str = "") -> str:
    if value is None:
        return "none"
    return f"{scale * value:{digits}}" + (f" ± {scale * error:{digits.lstrip('+')}}" if error else "") + unit


def _compared(model: dict[str, Any]) -> str:
    samples = model["metrics"]["samples"]
    return f"{samples['generated']['showers']}, {samples['reference']['showers']}"


def _entry(benchmark: dict[str, Any], batch: int) -> dict[str, Any]:
    return next(entry for entry in benchmark["models"] if entry["batch"] == batch)


def _speed(benchmark: dict[str, Any], batch: int) -> str:
    timing = _entry(benchmark, batch)["timing"]
    return f"{timing['mean']:.3f} ± {timing['standard_error']:.3f}"


def _yardsticks(benchmark: dict[str, Any], batch: int) -> str:
    entry = benchmark["yardsticks"].get(str(batch))
    return f"{entry['yardsticks']:.2f} ± {entry['error']:.2f}" if entry else ""


def card_figures(model: dict[str, Any]) -> dict[str, Any]:
    """The tables `validation` and `speed` of a model's card."""
    benchmark = model["benchmark"]
    validation = {
        title: {"value": round(v[0], 6), "error": round(v[1], 6), "floor": round(v[2], 6)}
        for title, v in measured(model["metrics"]).items()
    }
    for b in model["metrics"]["response"]["decades"]:
        if b["bias_error"] is None:
            continue
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


def shipped(name: str) -> dict[str, Any]:
    """Card and size of a model that the package ships."""
    from caloforge.runtime import ModelFile
    from caloforge.runtime.library import find

    model = ModelFile.read(find(name))
    return {"card": model.card.to_json(), "bytes": model.size}


def readme_table() -> list[str]:
    """The table of the shipped models, a row a model, from their cards."""
    from caloforge.runtime import names, read_card_of
    from caloforge.runtime.library import find

    lines = [
        "| model | cells | incidents | AUC, trees | AUC, MLP on cells | ms per shower |",
        "|---|---|---|---|---|---|",
    ]
    for card in [read_card_of(find(name)) for name in names()]:
        cells = " x ".join(map(str, card.detector.shape))
        aucs = []
        for key in ("auc_trees", "auc_mlp_cells"):
            figure = card.validation.get(CLASSIFIERS[key])
            aucs.append(f"{figure['value']:.3f} ({figure['floor']:.3f})" if figure else "")
        speed = f"{card.speed['ms_per_shower']:.2f}" if "ms_per_shower" in card.speed else ""
        lines.append(
            f"| `{card.name}` | {cells} | {card.spectrum.describe()} | {' | '.join(aucs)} | {speed} |"
        )
    return lines


def write_readme(path: Path) -> None:
    """Put the table between its marks in the README."""
    before, rest = path.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    path.write_text("\n".join([before + MARKS[0], *readme_table(), MARKS[1] + after]))


def section(detector: str, models: dict[str, dict[str, Any]]) -> list[str]:
    """The tables of the models of one detector."""
    first = next(iter(models.values()))["benchmark"]
    spectrum = IncidentSpectrum.parse(first["spectrum"], "benchmark.json").describe()
    return [
        f"## {detector}",
        "",
        *table(models),
        "",
        f"Speeds: {spectrum}; {first['machine']['cpu']}, {first['machine']['cores']} cores, threads as in the table, "
        f"{first['backend']}, drawing of noise included; Geant4 on one core.",
        "",
        f"### Response and resolution, {detector}",
        "",
        *response(models),
        "",
    ]


def main() -> None:
    if len(sys.argv) == 2:
        write_readme(Path(sys.argv[1]))
        return
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    models: dict[str, dict[str, Any]] = {}
    measured_yardsticks = folder / "yardsticks.json"
    yardsticks = json.loads(measured_yardsticks.read_text())["models"] if measured_yardsticks.exists() else {}
    for path in sorted(folder.glob("*/metrics.json")):
        name = path.parent.name
        card, training = path.with_name("card.json"), path.with_name("training.json")
        models[name] = {
            "metrics": json.loads(path.read_text()),
            "benchmark": {
                **json.loads(path.with_name("benchmark.json").read_text()),
                "yardsticks": yardsticks.get(name, {}),
            },
            "training": json.loads(training.read_text()) if training.exists() else None,
            **(json.loads(card.read_text()) if card.exists() else shipped(name)),
        }
        figures = json.dumps(card_figures(models[name]), indent=2)
        (path.parent / "figures.json").write_text(figures + "\n")
    notes = output.with_name("results-notes.md")
    text = [HEAD]
    for detector in dict.fromkeys(model["benchmark"]["detector"] for model in models.values()):
        text += section(
            detector, {n: model for n, model in models.items() if model["benchmark"]["detector"] == detector}
        )
    text.append(notes.read_text() if notes.exists() else "")
    output.write_text("\n".join(text).rstrip() + "\n")
    print(output)


if __name__ == "__main__":
    main()
