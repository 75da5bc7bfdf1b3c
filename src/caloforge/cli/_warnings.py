"""Python warnings on the command line: one line on stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shown(kind: type[Warning]) -> Iterator[None]:
    """Print warnings of a kind inside the block as `caloforge: warning: ...`, each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", kind)
        warnings.showwarning = _show
        yield


def _show(message: Warning | str, *_: object, **__: object) -> None:
    print(f"caloforge: warning: {message}", file=sys.stderr)
