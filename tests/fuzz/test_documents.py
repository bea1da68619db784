"""Whatever stands in the documents of a finished run, the verbs that read them end in a result or in a finding.

A mutant is known by its number: one document is damaged, in bytes or in one value, and for every second one the
checksums are made right again, as a forger would, so that the damage gets past the first comparison. The default run
takes a sample; `nox -s fuzz_documents` takes two thousand.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the run that is damaged is trained")
pytest.importorskip("transformers")

from ftc.cli.main import main
from ftc.spec import canonical
from ftc.spec.exit_codes import ExitCode
from tests.e2e.conftest import finished_project, in_a_copy, models, surroundings  # noqa: F401 - fixtures
from tests.fuzz.document_mutations import damaged_document

SAMPLE = 6
ONCE_FAILED = (168, 228, 806)
"""Mutants that a verb did not survive: a traceback, and a search of as many steps as a forger had written."""
ALL = 2000
CHUNK = 100
DOCUMENTS = ("record.json", "plan.json", "eval.json", "predictions.ndjson", "events.ndjson", "ladder.ndjson")
BESIDE = ("recipe.lock.json", "adapter/adapter_config.json", "recipe.yaml")
FINDING = re.compile(r"FTC\d{3}|^not listed", re.MULTILINE)
GOOD = {ExitCode.FINE, ExitCode.COULD_NOT_WORK, ExitCode.PLAN_STALE, ExitCode.INTEGRITY, ExitCode.INCONCLUSIVE}


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A project with one finished run that has metrics of several kinds, a gate and groups."""
    evaluation = 'samples: 2, gates: {loss: "< 9"}, slices: [label], metrics: [accuracy, macro_f1, loss]'
    return finished_project(tmp_path_factory.mktemp("documents"), models, 4, evaluation=evaluation)


def mutate(number: int, run: Path, ledger: Path) -> str:
    """Damages one document; gives its name."""
    chance = random.Random(f"ftc-documents-{number}")
    name = chance.choice((*DOCUMENTS, *DOCUMENTS, *DOCUMENTS, *BESIDE, "ledger.ndjson"))
    file = ledger if name == "ledger.ndjson" else run / name
    file.write_bytes(damaged_document(name, file.read_bytes(), chance))
    if number % 2:
        _seal(run, name)
    return name


def _seal(run: Path, name: str) -> None:
    """Makes the checksums right that name a damaged document, as far as it can still be read."""
    try:
        if name in ("plan.json", "record.json"):
            _seal_one(run / name)
        record = json.loads((run / "record.json").read_bytes())
        for output in record["outputs"]:
            data = (run / output).read_bytes()
            record["outputs"][output] = {"sha256": canonical.file_digest(run / output), "size": len(data)}
        record["plan_sha256"] = json.loads((run / "plan.json").read_bytes())["sha256"]
        (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
        _seal_one(run / "record.json")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return


def _seal_one(file: Path) -> None:
    plain = json.loads(file.read_bytes())
    file.write_text(json.dumps({**plain, "sha256": canonical.digest({**plain, "sha256": ""})}), encoding="utf-8")


def faults(number: int, root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[int, str, str, str]]:
    (run,) = (one.parent for one in root.glob("runs/*/*/adapter"))
    name = mutate(number, run, root / ".ftc" / "ledger.ndjson")
    out = root.parent / "statement.json"
    for words in (
        ("audit", run.name),
        ("show", run.name),
        ("run", "list"),
        ("run", "compare", run.name, run.name),
        ("provenance", str(run / "adapter" / "adapter_model.safetensors")),
        ("run", "export", run.name, "--format", "slsa", "-o", str(out)),
        ("plan", "recipe.yaml", "--offline"),
    ):
        try:
            code = main(words)
        except BaseException:  # noqa: BLE001 - nothing may get past the last place that turns it into words
            code = -1
            traceback.print_exc()
        text = "".join(capsys.readouterr())
        out.unlink(missing_ok=True)
        if code not in GOOD or (code and not FINDING.search(text)) or "Traceback" in text or "bug in ftc" in text:
            yield number, name, " ".join(words), text[-1500:]


def run(numbers: Iterable[int], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[tuple[int, str, str, str]] = []
    for number in numbers:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FTC_TRACEBACK", "1")
            found += faults(number, in_a_copy(finished, tmp_path, patch), capsys)
        shutil.rmtree(tmp_path / "copy")
    assert found == []


def test_a_sample_of_mutants(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run((*range(SAMPLE), *ONCE_FAILED), finished, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("FTC_FUZZ"), reason="two thousand take half an hour: nox -s fuzz_documents")
@pytest.mark.parametrize("start", range(SAMPLE, ALL, CHUNK))
def test_all_mutants(start: int, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(range(start, min(start + CHUNK, ALL)), finished, tmp_path, capsys)
