"""The report of an import: what needs a look first, each key with its line, nothing that steers a terminal."""

from __future__ import annotations

from ftc.spec.diagnostics import Span, diagnostic
from ftc.spec.documents.imported import Added, Fate, Imported, KeyFate
from ftc.views.imported import imported_json, imported_text
from ftc.views.page import Page

RESULT = Imported(
    tool="Axolotl",
    file="job.yml",
    recipe="ftc: 1\n",
    keys=(
        KeyFate("base_model", 1, Fate.CARRIED, paths=("model.base",)),
        KeyFate("micro_batch_size", 2, Fate.CARRIED, "2 × 4", paths=("train.batch_size", "train.micro_batch")),
        KeyFate("packing", 30, Fate.NOT_CARRIED, "rows are not packed", "think of a larger batch"),
        KeyFate("output_dir", 31, Fate.NOT_NEEDED, "runs have their own places"),
        KeyFate("logging_dir", 32, Fate.NOT_NEEDED, "runs have their own places"),
        KeyFate("odd\x1b[2J", 33, Fate.IGNORED, "nobody reads it"),
        KeyFate("seed", 34, Fate.CONFLICT, "it stands again further down", "keep one"),
    ),
    added=(Added("train.seed", "Axolotl's default"), Added("ftc", "")),
    reasons=(),
    lines=(),
)

REPORT = """\
Axolotl  7 keys · 2 carried · 2 not needed · 1 not carried · 1 ignored · 1 in conflict

not carried
  30  packing  rows are not packed; think of a larger batch

in conflict
  34  seed  it stands again further down; keep one

without effect in Axolotl itself
  33  odd\\x1b[2J  nobody reads it

carried
  1  base_model        model.base
  2  micro_batch_size  train.batch_size, train.micro_batch (2 × 4)

added
  train.seed  Axolotl's default

not needed, with lines
  runs have their own places: output_dir (31), logging_dir (32)
"""


def test_the_report() -> None:
    assert imported_text(RESULT) == REPORT


def test_lines_stay_within_the_page() -> None:
    lines = imported_text(RESULT, page=Page(columns=50)).splitlines()
    assert max(map(len, lines)) <= 50


def test_json_holds_the_same_facts() -> None:
    found = imported_json(RESULT)
    assert found["keys"][2]["fate"] == "not carried"
    assert found["keys"][1]["paths"] == ["train.batch_size", "train.micro_batch"]
    assert found["reasons"] == []


def test_json_holds_the_reasons() -> None:
    reason = diagnostic("FTC392", "no rows", Span("job.yml", 1, 1, 1, 5), help="give some")
    result = Imported("Axolotl", "job.yml", None, (), (), (reason,), ())
    (found,) = imported_json(result)["reasons"]
    assert (found["code"], found["help"]) == ("FTC392", ["give some"])
