"""Texts as vectors, from rows to what others load: the same vectors in ftc, in transformers and in their library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.test_tasks import measured
from tests.support.cards import CardRunner

_PREFIXES = "task: {kind: embedding, query_prefix: 'q ', passage_prefix: 'p '}"
_TEXTS = ["the bank raised the price", "a goal in the match"]


def _with_prefixes(root: Path) -> None:
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace("task: {kind: embedding}", _PREFIXES)
    recipe.write_text(text.replace("batch_size: 8", "batch_size: 8, micro_batch: 3"), encoding="utf-8")


def _vectors(ftc: Ftc, run: str, column: str, texts: list[str], folder: Path) -> np.ndarray[Any, Any]:
    file = folder / "new.jsonl"
    file.write_text("".join(json.dumps({column: text}) + "\n" for text in texts), encoding="utf-8")
    answer = ftc("predict", run, "--data", file)
    assert answer.code == 0, answer.text
    return np.array([json.loads(line)["vectors"][0] for line in answer.out.splitlines()])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "strategy"), [("encoder", "full"), ("decoder", "lora")])
def test_vectors_are_the_same_everywhere(
    project: MakeProject, ftc: Ftc, cards: CardRunner, model: str, strategy: str, tmp_path: Path
) -> None:
    root = project("embedding", strategy, steps=4, model=model)
    _with_prefixes(root)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    found = measured(root)
    assert found["base"].keys() == found["tuned"].keys() == {"ndcg_at_10", "mrr_at_10", "recall_at_1", "recall_at_10"}
    (card,) = (root / "runs").glob("*/*/README.md")
    assert "sentence-similarity" in card.read_text(encoding="utf-8")
    assert "tensor(" in cards.run(card)
    audited = ftc("audit", card.parent.name)
    assert audited.code == 0, audited.text
    assert "8 scores computed again from 5 rows" in audited.text
    queries = _vectors(ftc, card.parent.name, "query", _TEXTS, tmp_path)
    passages = _vectors(ftc, card.parent.name, "positive", _TEXTS, tmp_path)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    assert np.abs(queries - passages).max() > 1e-3, "other words stand before them"
    folder = card.parent / "model"
    if strategy != "full":
        folder = tmp_path / "merged"
        merged = ftc("run", "merge", card.parent.name, "-o", folder, "--dtype", "float32")
        assert merged.code == 0, merged.text
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert {"modules.json", "1_Pooling/config.json", "2_Normalize/config.json"} < set(names)
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    np.testing.assert_allclose(loaded.encode(_TEXTS, prompt_name="query"), queries, atol=1e-5)
    np.testing.assert_allclose(loaded.encode(_TEXTS, prompt_name="document"), passages, atol=1e-5)
    long = ["the " * 60]
    np.testing.assert_allclose(
        loaded.encode(long, prompt_name="query"), _vectors(ftc, card.parent.name, "query", long, tmp_path), atol=1e-5
    )


def test_pairs_with_scores(project: MakeProject, ftc: Ftc, tmp_path: Path) -> None:
    root = project("scored_pairs", steps=4)
    run = api.apply(Path("recipe.yaml"))
    assert run.evaluation is not None
    assert run.evaluation.tuned.metrics.keys() == {"spearman", "pearson"}
    audited = ftc("audit", run.record.id)
    assert audited.code == 0, audited.text
    # What is predicted is what was evaluated, and a text alone has a vector.
    rows = [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]
    outcomes = [json.loads(line) for line in (run.folder / "predictions.ndjson").read_text().splitlines()]
    answer = ftc("predict", run.record.id, "--data", root / "rows.jsonl")
    assert answer.code == 0, answer.text
    alike = [json.loads(line)["numbers"]["similarity"] for line in answer.out.splitlines()]
    assert len(alike) == len(rows)
    for one in outcomes:
        assert float(one["tuned"]["predicted"][0]) == pytest.approx(alike[one["row"]], abs=1e-5)
        assert float(one["right"][0]) == pytest.approx(rows[one["row"]]["score"], abs=1e-6)
    model = api.load(run.record.id)
    (alone,) = model.predict("the goal")
    assert len(alone.vectors[0]) == 32


def test_prefixes_and_wrong_passages_are_read(project: MakeProject, ftc: Ftc) -> None:
    root = project("embedding", steps=1)
    _with_prefixes(root)
    shown = ftc("tokens", "recipe.yaml", "--json")
    assert shown.code == 0, shown.text
    row = json.loads(shown.out)["rows"][0]
    assert len(row["sequences"]) == 3
    marks = [index for index, token in enumerate(row["tokens"]) if token["supervised"]]
    assert marks == [0, row["sequences"][0], sum(row["sequences"][:2])]
    assert row["tokens"][0]["piece"].startswith("q")
    assert row["tokens"][marks[2]]["piece"].startswith("p")
