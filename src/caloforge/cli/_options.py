"""The options of a spectrum of incidents and of engines, the same for all commands."""

from __future__ import annotations

from typing import Annotated

import typer

Particle = Annotated[
    str,
    typer.Option(help="Particles, in turn: 'e-,gamma', or drawn with weights: 'e-*2,gamma*1'."),
]
Energy = Annotated[
    str,
    typer.Option(
        help="Kinetic energy in GeV: '50', log-uniform '1:100', 'uniform:1:100', or a list '1,10,100'; "
        "'500MeV' works too."
    ),
]
Theta = Annotated[
    str,
    typer.Option(
        help="Angle from the layer normal in degrees: '30', or '0:30', uniform in solid angle; '0.5rad' works too."
    ),
]
Phi = Annotated[str, typer.Option(help="Azimuth in degrees: '90', or '0:360'.")]
Position = Annotated[
    str,
    typer.Option(
        help="Impact point on the front face in mm: 'x,y', 'x0:x1,y0:y1', or 'cell' (uniform over a cell at the "
        "centre)."
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads of the engine; all cores if not given.")]
Backend = Annotated[str, typer.Option(help="Engine: onnxruntime or openvino.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
