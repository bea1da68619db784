"""What is found in texts is kept in pieces: a changed file is checked again where it changed, with equal findings."""

from __future__ import annotations

import importlib.metadata
import os
import random
import shutil
import unicodedata
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.quality import compared_texts
from ftc.compiler.quality.compared_texts import compare_texts
from ftc.compiler.quality.near import TEXTS_AT_ONCE
from ftc.compiler.quality.sensitive import Presidio, _TimedOut
from ftc.compiler.quality.texts import RowTexts
from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.compiler.tokens import kept_pieces
from ftc.spec.documents.quality import QualityReport
from ftc.spec.sections.data import PresidioRules, QualityRules
from tests.support.small_pieces import project_of_small_pieces

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: a.csv}, split: {together: alike}}
model: {base: ./model}
strategy: {kind: full}
"""
WORDS = "the sun and rain are warm cold over hills where people walk along rivers with their dogs every day".split()
ODD = "anna.smith@example.org", "call +49 30 1234567", "Ã©tÃ©", "bell \x07 here"


def lines(count: int) -> list[str]:
    """Rows of which some are copies, some nearly, and some hold what they should not."""
    draw, texts = random.Random(4), list[str]()
    for number in range(count):
        text = " ".join(draw.choices(WORDS, k=24))
        if number % 5 == 4:
            text = texts[draw.randrange(number)] + draw.choice((" ", " so", "!"))
        texts.append(text + f" {draw.choice(ODD)}" if number % 7 == 6 else text)
    return [f"{text},{('warm', 'cold')[number % 2]}\n" for number, text in enumerate(texts)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return project_of_small_pieces(tmp_path, monkeypatch, RECIPE, compared_texts)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts of each piece were read in this process."""
    counts: list[int] = []
    found_in = compared_texts._found_in

    def counted(texts: RowTexts, piece: range, *, by_runs: bool, presidio: Presidio | None) -> bytes:
        counts.append(len(piece))
        return found_in(texts, piece, by_runs=by_runs, presidio=presidio)

    monkeypatch.setattr(compared_texts, "_found_in", counted)
    return counts


def test_a_piece_is_no_larger_than_what_is_compared_at_once() -> None:
    assert kept_pieces.LONGEST <= TEXTS_AT_ONCE


def reported(rows: list[str], jobs: int = 1) -> QualityReport:
    """What a plan of these rows says of them, with streams that are made now."""
    Path("a.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    shutil.rmtree(Path(os.environ["FTC_CACHE"]) / "streams", ignore_errors=True)
    with with_jobs(jobs):
        return api.plan("recipe.yaml", offline=True, keep_lock=True).plan.quality


@pytest.mark.usefixtures("project")
def test_kept_pieces_give_the_same_findings_and_are_not_read_again(
    read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = lines(200)
    with monkeypatch.context() as patch:
        patch.setattr(compared_texts, "FEWEST_ROWS", 10_000)
        without = reported(rows)
    assert {"copies", "encoding", "personal"} <= {one.kind for one in without.findings}
    assert "near duplicates" in {one.rule for one in without.findings}
    read.clear()
    assert reported(rows) == without
    assert sum(read) == 200
    assert reported(rows) == without
    assert sum(read) == 200, "no text is read twice"
    assert reported(rows, jobs=3) == without


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("change", ["first", "inside", "behind", "gone"])
def test_only_what_changed_is_read_again(read: list[int], change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines(200)
    reported(rows)
    new = "a new row that says the sun and rain are warm cold over hills anna@example.org,warm\n"
    changed = {
        "first": [new, *rows],
        "inside": [*rows[:100], new, *rows[101:]],
        "behind": [*rows, new, rows[3]],
        "gone": [*rows[:50], *rows[60:]],
    }[change]
    read.clear()
    found = reported(changed)
    assert 0 < sum(read) <= 4 * 16
    with monkeypatch.context() as patch:
        patch.setattr(compared_texts, "FEWEST_ROWS", 10_000)
        assert found == reported(changed)


@pytest.mark.usefixtures("project")
def test_other_rules_read_the_texts_again(project: Path, read: list[int]) -> None:
    rows = lines(60)
    reported(rows)
    recipe = RECIPE.replace("split:", "quality: {similarity: null}, split:")
    (project / "recipe.yaml").write_text(recipe, encoding="utf-8")
    assert "near duplicates" not in {one.rule for one in reported(rows).findings}
    assert sum(read) == 120
    (project / "recipe.yaml").write_text(recipe.replace("null", "0.7"), encoding="utf-8")
    reported(rows)
    assert sum(read) == 120, "the threshold is no part of what is read"


@pytest.mark.usefixtures("project")
def test_another_release_of_unicode_reads_the_texts_again(read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines(60)
    reported(rows)
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    reported(rows)
    reported(rows)
    assert sum(read) == 120


@pytest.mark.parametrize("package", ["presidio-analyzer", "phonenumbers", "tldextract", "regex"])
def test_another_release_of_what_presidio_needs_reads_the_texts_again(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    monkeypatch.setattr(compared_texts, "FEWEST_ROWS", 1)
    installed = {"phonenumbers": "9.0", "tldextract": "5.3"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    texts = RowTexts([{"text": f"text {n}"} for n in range(20)], Columns({"text": "text"}, (), ("text",)))
    rules = QualityRules(presidio=PresidioRules())

    def compare(release: str) -> None:
        compare_texts({"train": texts}, rules, Presidio(release, (), 0.5, _TimedOut()))

    compare("2.2")
    compare("2.2")
    assert sum(read) == 20
    installed[package] = "10.0"
    compare(installed.get("presidio-analyzer", "2.2"))
    assert sum(read) == 40


@pytest.mark.parametrize("gave_up", [False, True])
def test_what_was_given_up_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[int], *, gave_up: bool
) -> None:
    """Another plan may have the time that presidio's patterns need."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path))
    monkeypatch.setattr(compared_texts, "FEWEST_ROWS", 1)
    texts = RowTexts([{"text": f"text {n}"} for n in range(20)], Columns({"text": "text"}, (), ("text",)))
    for _ in range(2):
        presidio = Presidio("2.2", (), 0.5, _TimedOut())
        presidio.timed_out.happened = gave_up
        compare_texts({"train": texts}, QualityRules(presidio=PresidioRules()), presidio)
    assert sum(read) == (40 if gave_up else 20)
