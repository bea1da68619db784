"""A finished run's test rows as its data file has them, and metrics of answers to them by those who define them.

What serves an exported model knows nothing of ftc: it gets a row's text as the file has it, and its answers are scored
here, so that the record's figure is reached by another way.
"""

from __future__ import annotations

import csv
import json
import string
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.sections.data import PathSource
from tests.support.projects import PROJECTS, write_rows

__all__ = ["as_gated", "asked", "make_learnable", "outcomes_of", "score", "sources_of"]

_ROWS = 120


def make_learnable(root: Path, task: str, strategy: str) -> Path:
    """Gives a project rows and a rate with which its tiny model learns something in 60 steps; returns its recipe.

    A chat template's turns begin on a line of their own: a blank would be one token with the answer's first word, so
    that a server, which is given the prompt alone, would read other tokens than those that were learned.
    """
    write_rows(root / PROJECTS[task][0], task, _ROWS)
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace("max_length: 32", "max_length: 48")
    rate = "5e-3" if strategy == "full" else "1e-2"
    recipe.write_text(text.replace("learning_rate: 1e-3", f"learning_rate: {rate}"), encoding="utf-8")
    file = root / PROJECTS[task][2] / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    if template := settings.get("chat_template"):
        settings["chat_template"] = template.replace("}}: {{", "}}:\n{{").replace("assistant: ", "assistant:\n")
        file.write_text(json.dumps(settings), encoding="utf-8")
    return recipe


def outcomes_of(run: api.Run) -> list[Outcome]:
    """What the run made of each test row, in their order."""
    lines = (run.folder / "predictions.ndjson").read_text(encoding="utf-8").splitlines()
    return [Outcome.model_validate_json(line) for line in lines]


def sources_of(run: api.Run) -> list[dict[str, Any]]:
    """The same rows as the data file has them; of words with tags `words` and `tags`."""
    source = run.plan.recipe.data.source
    assert isinstance(source, PathSource)
    file = run.root / Path(str(source.to_json()["path"]))
    text = file.read_text(encoding="utf-8")
    rows: list[dict[str, Any]]
    if file.suffix == ".csv":
        rows = [*csv.DictReader(text.splitlines())]
    elif file.suffix == ".conll":
        blocks = [[line.split("\t") for line in block.splitlines()] for block in text.strip().split("\n\n")]
        rows = [{"words": [one[0] for one in block], "tags": [one[1] for one in block]} for block in blocks]
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    return [rows[one.row] for one in outcomes_of(run)]


def score(metric: str, right: Sequence[Any], said: Sequence[Any]) -> float:
    """A metric of answers, each beside the right one."""
    assert len(right) == len(said) > 1
    match metric:
        case "accuracy":
            return float(sum(a == b for a, b in zip(right, said, strict=True)) / len(right))
        case "entity_f1":
            from seqeval.metrics import f1_score

            found: Any = f1_score([list(one) for one in right], [list(one) for one in said])
            return float(found)
        case "exact_match":
            return score("accuracy", [*map(_plain, right)], [*map(_plain, said)])
        case "rouge_l":
            from rouge_score.rouge_scorer import RougeScorer

            scorer = RougeScorer(["rougeL"])
            each = [scorer.score(a, b)["rougeL"].fmeasure for a, b in zip(right, said, strict=True)]
            return float(sum(each) / len(each))
        case _:
            raise ValueError(metric)


def _plain(text: str) -> str:
    """An answer as SQuAD compares it."""
    kept = "".join(one for one in text.lower() if one not in string.punctuation)
    return " ".join(word for word in kept.split() if word not in ("a", "an", "the"))


def as_gated(run: api.Run, metric: str, value: float, *, same: bool = True) -> None:
    """A metric of what a runtime answered keeps the recipe's gate, and is the record's figure unless it was rounded."""
    assert run.evaluation is not None
    assert run.record.status == "finished", "its own gates hold"
    assert run.plan.settings.eval.gates[metric].holds(value), (metric, value)
    if same:
        assert value == pytest.approx(run.evaluation.tuned.metrics[metric], abs=1e-9)


def asked(url: str, model: str, question: str, most: int | None) -> str:
    """What a server of this machine that speaks OpenAI's protocol answers to one question."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": most}
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), kind)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return str(json.load(answer)["choices"][0]["message"]["content"])
