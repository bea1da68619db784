"""Words that are exchanged in test rows: whole ones, as they are written, and only in what the model is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.tokens.other_rows import without_probes
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.probes import Swapped
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from tests.support import documents
from tests.support.projects import make_model

RECIPE = """
ftc: 1
name: tiny
task: {kind: generation}
data: {source: {path: rows.jsonl}, split: {validation: 0, test: {path: test.jsonl}}}
model: {base: ./model}
strategy: {kind: lora}
eval:
  metrics: [exact_match]
  swaps: {path: swaps.csv}
  retention: {path: general.jsonl, text: words}
"""


def test_rows_and_text_beside_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the model's folder is made with it")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "project"
    (root / ".ftc").mkdir(parents=True)
    make_model(root / "model", "decoder")
    train = [{"prompt": f"tell {number} of him", "completion": "he said"} for number in range(40)]
    test = [
        {"prompt": text, "completion": "he", "seen by": "the man"}
        for text in ("the man he saw", "then", "he and he", "He")
    ]
    for name, rows in (("rows", train), ("test", test), ("general", [{"words": "some text of no task " * 9}])):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "swaps.csv").write_text("from,to\nhe,she\nman,woman\nnobody,you\n")
    (root / "recipe.yaml").write_text(RECIPE)
    plan = api.plan(root / "recipe.yaml", offline=True).plan
    folder = streams_folder(plan.stream_key)
    swapped = Swapped.model_validate_json((folder / "swaps.json").read_bytes())
    assert swapped.pairs == (("he", "she"), ("man", "woman"), ("nobody", "you"))
    assert list(zip(swapped.rows, swapped.pair, strict=True)) == [(0, 0), (0, 1), (2, 0)]
    assert len(open_stream(folder / "swaps.arrow")) == 3
    assert plan.settings.eval.retention_sha256 == open_stream(folder / "retention.arrow").digest()
    assert {"retention", "swaps"} <= plan.lock.data.sources.keys()
    for odd, words in (
        ("from,to\nhe,he\n", "swaps.csv:2 substitutes `he` with itself"),
        ("from,to\nhe,she\nman,woman\n he,she\n", "swaps.csv:4 repeats the substitution of swaps.csv:2"),
        ("from,to\n", "swaps.csv has no rows"),
    ):
        (root / "swaps.csv").write_text(odd)
        with pytest.raises(Refusal) as refused:
            api.plan(root / "recipe.yaml", offline=True)
        (finding,) = refused.value.diagnostics
        assert words in finding.summary
        assert finding.span is not None
        assert finding.span.line == 10, "the place of `swaps` in the recipe"


def test_other_rows_have_every_gate_but_those_on_rows_beside_the_test_split() -> None:
    plan = documents.plan()
    settings = plan.settings.model_dump()
    names = ("accuracy", "flagged", "forgetting", "judge", "swapped")
    settings["eval"]["gates"] = {name: {"comparison": ">=", "bound": 1} for name in names}
    plan = plan.model_copy(update={"settings": Settings.model_validate(settings)})
    assert set(without_probes(plan).settings.eval.gates) == {"accuracy", "flagged", "judge"}
