"""A first model with every default: it answers with all classes, or says which ones it never predicts.

The run takes its hundreds of steps, since that is what is tested: with 108 of them nothing was learned.
"""

from __future__ import annotations

import json
import random

import pytest

from tests.e2e.conftest import Ftc, MakeProject

_CALLS = {
    "billing": ("the bank raised the price of {}", "a share of {} and the price"),
    "technical": ("the player of {} scored a goal", "the match of {}"),
    "account": ("the actor in {} sang", "an old film of {}"),
    "shipping": ("in a match the bank of {}", "the old share of {}"),
}
_SHARES = (42, 35, 14, 9)
"""Rows of each class by the hundred, as an office has them."""


@pytest.mark.slow
def test_short_tickets_of_four_classes(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    chance, rows = random.Random(3), []
    for number in range(720):
        label = chance.choices(list(_CALLS), _SHARES)[0]
        rows.append(f"{chance.choice(_CALLS[label]).format(f'n{number % 40}')} {number},{label}")
    (root / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    (root / "recipe.yaml").write_text(
        "ftc: 1\nname: tickets\ntask: {kind: classification}\ndata: {source: {path: rows.csv}, max_length: 32}\n"
        "model: {base: ./encoder}\nstrategy: {kind: lora}\nbudget: {device: cpu, threads: 1}\n",
        encoding="utf-8",
    )
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    (folder,) = (root / "runs").glob("*/*")
    lines = (folder / "predictions.ndjson").read_text(encoding="utf-8").splitlines()
    rows_said = [json.loads(line) for line in lines]
    missing = {row["expected"] for row in rows_said} - {row["tuned"]["text"] for row in rows_said}
    found = json.loads((folder / "record.json").read_text(encoding="utf-8"))["findings"]
    told = " ".join(one["text"] for one in found if one["code"] == "FTC245")
    assert all(f"`{name}`" in told for name in missing)
    assert bool(told) == bool(missing)
    metrics = json.loads((folder / "eval.json").read_text(encoding="utf-8"))
    majority = next(one for one in metrics["baselines"] if one["kind"] == "majority")
    assert float(metrics["tuned"]["metrics"]["macro_f1"]) > float(majority["metrics"]["macro_f1"])
