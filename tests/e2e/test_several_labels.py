"""Labels in columns of 0 and 1, from recipe to predictions: rows, streams, evaluation and rows without labels."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from ftc import api
from tests.e2e.conftest import Ftc, MakeProject


def test_one_hot_rows_are_trained_on_evaluated_and_predicted(project: MakeProject, ftc: Ftc) -> None:
    root = project("classification", steps=2)
    with (root / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("money", "sport", "film")
    lines = [[row["text"], *(str(int(name == row["label"])) for name in names)] for row in rows]
    with (root / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("text", *names), *lines])
    recipe = (root / "recipe.yaml").read_text(encoding="utf-8")
    task = f"task: {{kind: classification, multi_label: true, label_columns: [{', '.join(names)}]}}"
    recipe = recipe.replace("task: {kind: classification}", task).replace("{text: text, label: label}", "{text: text}")
    (root / "recipe.yaml").write_text(recipe, encoding="utf-8")
    applied = api.apply(Path("recipe.yaml"))
    (evaluation,) = (json.loads(file.read_text("utf-8")) for file in Path("runs").glob("*/*/eval.json"))
    assert evaluation["tuned"]["metrics"].keys() == {"micro_f1", "macro_f1"}
    assert api.audit(applied.record.id).verdict == "CONSISTENT"
    Path("new.csv").write_text("text\na goal and a match\n", encoding="utf-8")
    predicted = ftc("predict", applied.record.id, "--data", "new.csv")
    assert predicted.code == 0, predicted.text
    (answer,) = csv.DictReader(io.StringIO(predicted.out))
    assert json.loads(answer["probabilities"]).keys() == set(names)
    measured = ftc("eval", applied.record.id, "--data", "rows.csv", "--format", "json")
    assert measured.code == 0, measured.text
    lacking = ftc("eval", applied.record.id, "--data", "new.csv")
    assert (lacking.code, "FTC362" in lacking.text, "`money`" in lacking.text) == (3, True, True), lacking.text
