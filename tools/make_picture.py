"""Draw the picture of the README: Geant4 and a model.

Usage:

    python tools/make_picture.py GENERATED.h5 GEANT4.h5 docs/images/clic-ecal.png [FIGURE]

FIGURE is the name of a figure of the report, `profiles` if not given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from caloforge.validation import evaluate
from caloforge.validation.figures import figures


def main() -> None:
    generated, reference, output = map(Path, sys.argv[1:4])
    evaluation = evaluate(generated, reference, level="fast")
    pictures = {figure.name: figure for figure in figures(evaluation)}
    wanted = sys.argv[4] if len(sys.argv) > 4 else "profiles"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(pictures[wanted].png)
    print(f"{output}: {wanted}, of {', '.join(pictures)}")


if __name__ == "__main__":
    main()
