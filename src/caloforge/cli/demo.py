"""`caloforge demo`: the tour. Geant4 and a shipped model side by side, here and now."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.errors import require

if TYPE_CHECKING:
    from caloforge.benchmark import BenchmarkResult
    from caloforge.validation import Evaluation

OBSERVABLES = (
    "response",
    "depth",
    "hits",
    "maximum cell",
    "cell spectrum",
    "longitudinal profile",
    "radial profile",
)
"""The observables of the printed table, where a detector has them; the page has all."""


def command(
    name: Annotated[str, typer.Argument(help="A shipped model ('caloforge models').")] = "clic-ecal",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of showers and report.")] = Path(
        "demo"
    ),
    number: Annotated[int, typer.Option("-n", help="Showers of each kind.", min=100)] = 300,
    workers: Annotated[int, typer.Option(help="Geant4 processes.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON on stdout.")] = False,
) -> None:
    """Simulate showers with Geant4, draw as many from a shipped model, and compare them.

    Incidents are those that the model was trained for: particles, energies, angles and impact points. The folder
    receives both samples, a page of plots that opens offline, and metrics.json.
    """
    for module, extra in (("sklearn", "report"), ("matplotlib", "report")):
        require(module, extra)
    from caloforge import benchmark, geant4, runtime
    from caloforge.files import make_folder
    from caloforge.runtime.generation import Job, generate_file
    from caloforge.validation import evaluate, metrics, write_report

    start = time.monotonic()
    geant4.installation()  # says at once if Geant4 is not there
    with runtime.load(name) as model:
        make_folder(output)
        spectrum = model.card.spectrum
        print(f"{number} showers each of {model.detector.name}: {spectrum.describe()}", file=sys.stderr)
        monte_carlo, generated = output / "geant4.h5", output / "model.h5"
        geant4.produce(
            model.detector, spectrum, number, seed, monte_carlo, workers, overwrite=True, show_progress=True
        )
        generate_file(model, Job(spectrum, number, seed), generated)
        timing = benchmark.run(model, spectrum, geant4=20, batches=(128,), seed=seed)
    evaluation = evaluate(generated, monte_carlo, seed, level="fast", bar=True)
    page = write_report(evaluation, output / "report")
    if as_json:
        found = {"benchmark": timing.to_json(), "validation": metrics(evaluation), "report": str(page)}
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    _print(timing, evaluation, number)
    print(f"{time.monotonic() - start:.0f} s in all. All plots: open {page} in a browser.")


def _print(timing: BenchmarkResult, evaluation: Evaluation, number: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    (model,) = timing.models
    assert timing.geant4 is not None
    incidents = timing.spectrum.describe()
    console.print(f"{timing.detector}: {incidents}", highlight=False, soft_wrap=True)
    table = Table(title=f"time, {timing.machine.cpu}")
    for header in ("", "ms per shower", "how"):
        table.add_column(header, justify="right" if header == "ms per shower" else "left")
    mean = f"{timing.geant4.mean:.1f} ± {timing.geant4.standard_error:.1f}"
    table.add_row(
        "Geant4", mean, f"one core, {timing.showers} showers, mean {timing.mean_energy / 1e3:.1f} GeV"
    )
    mean = f"{model.timing.mean:.3f} ± {model.timing.standard_error:.3f}"
    table.add_row(
        f"model {timing.model}", mean, f"{timing.backend}, {timing.threads} threads, batch {model.batch}"
    )
    table.add_row("speed-up", f"{model.speedup:.0f} ± {model.speedup_error:.0f}", "")
    console.print(table)

    table = Table(title=f"{number} showers of the model against {number} of Geant4")
    for header in ("observable", "separation power", "floor", "verdict"):
        table.add_column(header, justify="left" if header in {"observable", "verdict"} else "right")
    by_name = {s.observable: s for s in evaluation.separations}
    for name in [name for name in OBSERVABLES if name in by_name]:
        s = by_name[name]
        value, floor = f"{s.value:.4f} ± {s.error:.4f}", f"{s.floor:.4f} ± {s.floor_error:.4f}"
        table.add_row(name, value, floor, s.verdict)
    for b in evaluation.decades:
        low, high = b.reference.low / 1e3, b.reference.high / 1e3
        bias = f"{100 * b.bias:+.2f} ± {100 * b.bias_error:.2f} %"
        table.add_row(f"response bias, {b.name}, {low:g} to {high:g} GeV", bias, "0", b.verdict)
    console.print(table)
    console.print("The floor is what two samples of Geant4 of this size show.", highlight=False)
