"""Reads a configuration of another tool: a YAML or JSON file, or the command line of a shell script."""

from __future__ import annotations

from ftc.compiler.importers import commands
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.language.foreign_yaml import Foreign, foreign_text, read_yaml

__all__ = ["read_foreign"]

_PROGRAMS = {".py": "Python script", ".ipynb": "notebook"}
_OF_PROGRAMS = (
    "give the YAML or JSON file that it reads, or a `.sh` file with the command line that starts it",
    "or begin a recipe with `ftc init --data ROWS`, and write the program's values into it",
)


def read_foreign(data: bytes, file: str) -> Foreign:
    """Reads a YAML or JSON file, or a shell script with the command line that starts a training.

    Raises:
        Refusal: FTC390, with the place and the reason.
    """
    if kind := next((kind for end, kind in _PROGRAMS.items() if file.lower().endswith(end)), None):
        summary = f"a {kind} is a program, whose values are known only once it runs; `ftc import` runs and reads none"
        raise Refusal([diagnostic("FTC390", summary, Span(file, 1, 1, 1, 1), help=_OF_PROGRAMS)])
    if file.lower().endswith(commands.SUFFIXES):
        text = foreign_text(data, file)
        return Foreign(file, text.lines, commands.command_root(text, file))
    return read_yaml(data, file)
