"""The command `caloforge`: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

COMMANDS = {
    "demo": "simulate, generate and compare in one go: the tour",
    "detectors": "list detectors, or show one: layers, radiation lengths, cells, symmetries",
    "geant4": "say which Geant4, physics list and data sets are in use",
    "simulate": "simulate showers with Geant4",
    "info": "describe a shower file",
    "train": "train a model from a recipe",
    "export": "turn a trained run into a model: one ONNX file, and its weights",
    "models": "list the shipped models with their cards",
    "generate": "draw showers from a model",
    "validate": "compare showers with a reference: physics, classifiers, floor, report",
    "compare": "put the reports of several models side by side",
    "benchmark": "time Geant4 and a model side by side",
}
"""Commands in the order in which a user meets them; each is `command` in the module of its name in this room."""


def usage() -> str:
    """The text of `caloforge --help`."""
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "Usage: caloforge COMMAND [OPTIONS]\n\n"
        "Calorimeter showers from generative models, trained on and validated against Geant4.\n\n"
        f"Commands:\n{rows}\n\n"
        "Options:\n  --version  print the version\n  --help     print this text\n\n"
        "'caloforge COMMAND --help' explains a command. Energies are in GeV ('50', '1:100', '500MeV'), angles in "
        "degrees."
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: The words after `caloforge`; `sys.argv` if not given.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in {"--help", "-h", "help"}:
        print(usage())
        return 0
    if words[0] == "--version":
        from caloforge import __version__

        print(f"caloforge {__version__}")
        return 0
    if words[0] not in COMMANDS:
        from caloforge.errors import did_you_mean

        return _fail(f"unknown command {words[0]!r}{did_you_mean(words[0], COMMANDS)}", 2)
    return _run(words[0], words[1:])


def _run(name: str, words: list[str]) -> int:
    import typer

    from caloforge.errors import CaloForgeError

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(importlib.import_module(f"caloforge.cli.{name}").command)
    usage_error = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
    try:
        result = typer.main.get_command(app).main(words, prog_name=f"caloforge {name}", standalone_mode=False)
    except CaloForgeError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if isinstance(
            error, usage_error
        ):  # typer may carry its own copy of click: its class has no fixed home
            shown: Any = error
            shown.show()
            return int(shown.exit_code)
        raise
    return result if isinstance(result, int) else 0


def _fail(message: str, status: int) -> int:
    print(f"caloforge: error: {message}", file=sys.stderr)
    return status
