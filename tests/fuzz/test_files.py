"""Whatever is in a model's or a data file, planning ends soon, in a finding with a code or in a plan.

A mutant is known by its number, so a failure names all that it takes to see it again:
`echo NUMBER | python -m tests.fuzz.worker`. The default run takes a sample; `nox -s fuzz_files` runs ten thousand.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.codes import CODES
from ftc.spec.exit_codes import ExitCode
from tests.fuzz.file_mutations import mutant

ROOT = Path(__file__).parents[2]
SAMPLE = 54
ALL = 10_000
CHUNK = 500
LONGEST_PLAN_SECONDS = 120
"""A plan takes a tenth of a second, and the sandbox of templates at most half a minute; more is a hang anywhere."""
MOST_MIB = 1500
FINDING = re.compile(r"^(?:error|warning|note)\[(FTC\d{3})\]: \S", re.MULTILINE)
GOOD = {ExitCode.FINE, ExitCode.RECIPE_INVALID, ExitCode.OVER_BUDGET}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the worker sets limits of POSIX")


def planned(numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What a user would have seen of each mutant. A worker that dies or hangs is one mutant's fault."""
    left = list(numbers)
    while left:
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdin
        assert worker.stdout
        answer = "{}"
        while left and answer:
            timer = threading.Timer(LONGEST_PLAN_SECONDS, worker.kill)
            timer.start()
            worker.stdin.write(f"{left[0]}\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            timer.cancel()
            number = left.pop(0)
            yield json.loads(answer) if answer else {"number": number, "died": worker.wait()}
        worker.communicate()


def fault_of(seen: dict[str, Any]) -> str | None:
    """What a user should never have seen."""
    if "died" in seen:
        return f"the process ended with {seen['died']}"
    text, code = seen["text"], seen["exit"]
    for word in ("Traceback", "bug in ftc", "panicked at"):
        if seen["raised"] or word in text:
            return seen["raised"] or word
    if code not in GOOD:
        return f"exit code {code}"
    if code and not FINDING.search(text):
        return "no finding"
    if unknown := set(FINDING.findall(text)) - set(CODES):
        return f"codes that are none: {unknown}"
    if any(not char.isprintable() and char != "\n" for char in text):
        return "characters that a terminal obeys"
    return f"{seen['peak_mib']} MiB" if seen["peak_mib"] > MOST_MIB else None


def run(numbers: range) -> None:
    """Plans mutants; a failure names the number, the file, and what was seen."""
    faults, codes = [], set()
    for seen in planned(numbers):
        if fault := fault_of(seen):
            faults.append((seen["number"], mutant(seen["number"]).damaged, fault, seen.get("text", "")[-2000:]))
        codes.add(seen.get("exit"))
    assert faults == []
    assert codes >= {ExitCode.FINE, ExitCode.RECIPE_INVALID}, "mutants that are all planned, or none, test little"


@pytest.mark.slow
def test_a_sample_of_mutants() -> None:
    run(range(SAMPLE))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FTC_FUZZ"), reason="ten thousand mutants take half an hour: nox -s fuzz_files")
@pytest.mark.parametrize("start", range(SAMPLE, ALL, CHUNK))
def test_all_mutants(start: int) -> None:
    run(range(start, min(start + CHUNK, ALL)))


def test_a_mutant_is_always_the_same() -> None:
    for number in range(40):
        one, other = mutant(number), mutant(number)
        assert (one.damaged, one.files) == (other.damaged, other.files)


def test_the_judge_sees_what_is_wrong() -> None:
    text = "error[FTC311]: a file\n"
    good = {"number": 0, "exit": 3, "raised": None, "text": text, "peak_mib": 100, "seconds": 1}
    assert fault_of(good) is None
    for change in (
        {"exit": 1},
        {"text": "error: it failed\n"},
        {"text": "error[FTC999]: no such code\n"},
        {"text": text + "\x1b[31m"},
        {"text": "Traceback (most recent call last)"},
        {"text": "error: `ftc plan` met a bug in ftc (KeyError)"},
        {"raised": "pyo3_runtime.PanicException: no entry found for key"},
        {"peak_mib": 9000},
        {"died": -11},
    ):
        assert fault_of({**good, **change}), change
