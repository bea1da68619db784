"""Rows that a package's reader gives, as a program: a question on standard input, a JSON line for each row on output.

It runs in a process of its own, so that the planner imports no package, and ends with whatever goes wrong there.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftc.runtime.extensions import package_function, words_of
from ftc.spec.diagnostics import Refusal
from ftc.spec.extension_points import extension_point

__all__ = ["main"]


def main() -> int:
    """Answers one question, `{"reader": …, "path": …}`: `{"row": …, "line": …}` for each, then `{"end": true}`, or
    `{"problem": …, "line": …}` where there are no more.
    """
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no row
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    for answer in _answers(asked["reader"], Path(asked["path"])):
        output.write(answer + "\n")
    output.flush()
    return 0


def _answers(name: str, path: Path) -> Iterator[str]:
    count, line = 0, None
    try:
        for given in package_function(extension_point("row_reader"), name)(path):
            row, line = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            if not isinstance(row, Mapping):
                problem = f"gives {type(row).__name__}, not a mapping, or one with the number of its line"
                yield _problem(count, problem, line)
                return
            if line is not None and (type(line) is not int or line < 1):
                yield _problem(count, f"gives {repr(line)[:40]} as the number of a line, which begin at 1", None)
                return
            yield json.dumps({"row": {**row}, "line": line})
            count += 1
    except Refusal as refusal:
        yield _problem(count, refusal.diagnostics[0].summary, None)
    except Exception as error:  # noqa: BLE001 - any failure of a package's code is an answer
        yield _problem(count, f"raised {words_of(error)}", _line_of(error))
    else:
        yield json.dumps({"end": True})


def _problem(count: int, words: str, line: Any) -> str:
    return json.dumps({"problem": words, "after": count, "line": line if isinstance(line, int) else None})


def _line_of(error: Exception) -> Any:
    """The line that an error of a parser names, as json, csv, tomllib and xml have it."""
    place = getattr(error, "position", None)
    return getattr(error, "lineno", None) or (place[0] if isinstance(place, tuple) and place else None)


if __name__ == "__main__":
    sys.exit(main())
