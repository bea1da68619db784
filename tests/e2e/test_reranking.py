"""Cross-encoders from rows to what others load: the same scores in ftc and in sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from ftc import api
from ftc.spec.diagnostics import Refusal
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner

_QUERY, _TEXTS = "the bank raised the price", ["money n1", "a goal in the match", "the bank"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_scores_are_the_same_everywhere(
    project: MakeProject, ftc: Ftc, cards: CardRunner, strategy: str, tmp_path: Path
) -> None:
    root = project("reranking", strategy, steps=4)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    (file,) = (root / "runs").glob("*/*/eval.json")
    measured = json.loads(file.read_text(encoding="utf-8"))
    metrics = {"ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_5"}
    assert measured["tuned"]["metrics"].keys() == measured["base"]["metrics"].keys() == metrics
    assert measured["gains"]["recall_at_1"]["interval"], "five rows are too few for the interval of a mean"
    run = file.parent.name
    audited = ftc("audit", run)
    assert audited.code == 0, audited.text
    assert "8 scores computed again from 5 rows" in audited.text
    assert "tensor(" in cards.run(file.parent / "README.md")

    rows = tmp_path / "new.jsonl"
    rows.write_text(json.dumps({"query": _QUERY, "texts": _TEXTS}) + "\n", encoding="utf-8")
    answer = ftc("predict", run, "--data", rows)
    assert answer.code == 0, answer.text
    (said,) = [json.loads(line) for line in answer.out.splitlines()]
    answer = ftc("predict", run, "--data", root / "rows.jsonl")
    assert answer.code == 0, answer.text
    first = json.loads((root / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])
    ranked = [first["positive"], *first["negative"]]
    best = json.loads(answer.out.splitlines()[0])
    assert best["prediction"] == ranked[int(next(iter(best["numbers"]))) - 1], "rows of training are ranked, too"
    alone = ftc("predict", run, _QUERY)
    assert alone.code != 0
    assert '{"query": "…", "texts": ["…", "…"]}' in alone.text
    scores = [said["numbers"][str(number)] for number in (1, 2, 3)]
    assert said["prediction"] == _TEXTS[int(np.argmax(scores))]
    assert list(said["numbers"].values()) == sorted(scores, reverse=True), "the best text comes first"

    folder = file.parent / "model"
    if strategy != "full":
        folder = tmp_path / "merged"
        merged = ftc("run", "merge", run, "-o", folder, "--dtype", "float32")
        assert merged.code == 0, merged.text
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import CrossEncoder

    loaded = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    np.testing.assert_allclose(loaded.predict([(_QUERY, text) for text in _TEXTS]), scores, atol=1e-5)


def test_margins_and_wrong_texts_are_checked(project: MakeProject, ftc: Ftc) -> None:
    root = project("reranking", "full", steps=2)
    recipe, file = root / "recipe.yaml", root / "rows.jsonl"
    text = recipe.read_text(encoding="utf-8").replace("kind: reranking", "kind: reranking, loss: margin_mse")
    recipe.write_text(text, encoding="utf-8")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with pytest.raises(Refusal):
        api.plan(recipe)
    for row in rows:
        row["margin"] = [2.5, 1, 0.5]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = api.apply(recipe)
    assert api.audit(run.record.id).verdict == "CONSISTENT"
    rows[3]["margin"] = [1]
    rows[4]["negative"] = []
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        api.plan(recipe)
    assert {found.code for found in refused.value.diagnostics} == {"FTC463"}


def test_a_pair_is_a_sequence_with_its_query(project: MakeProject, ftc: Ftc) -> None:
    project("reranking", steps=1)
    shown = ftc("tokens", "recipe.yaml", "--json")
    assert shown.code == 0, shown.text
    row = json.loads(shown.out)["rows"][0]
    assert len(row["sequences"]) == 4
    pieces = "".join(token["piece"] for token in row["tokens"])
    query = json.loads((Path("rows.jsonl")).read_text(encoding="utf-8").splitlines()[row["row"] - 1])["query"]
    assert pieces.count(query) == 4, "the query stands before each text"
