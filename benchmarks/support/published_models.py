"""What benchmarks of models at their published sizes share: their command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

__all__ = ["run_cases"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Case = TypeVar("_Case", bound=_Named)


def run_cases(
    cases: Iterable[_Case],
    measure: Callable[[_Case], dict[str, Any]],
    words: Callable[[_Case, dict[str, Any]], str],
    about: str | None,
) -> None:
    """Measures the models that the command line names, prints a line for each, and writes the figures where it says.

    Args:
        cases: All models.
        measure: What is found of one, as JSON values.
        words: Its line.
        about: The benchmark's docstring.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models; all where none is given")
    parser.add_argument("--out", type=Path, help="write the figures there, a line for each model")
    arguments = parser.parse_args()
    lines = []
    for case in cases:
        if not arguments.names or case.name in arguments.names:
            found = measure(case)
            lines.append(json.dumps(found))
            print(words(case, found), flush=True)
    if arguments.out is not None:
        arguments.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
