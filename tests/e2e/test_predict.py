"""A finished run's model in use: what it says of rows without labels is what its evaluation said of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import ftc as package
from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.tasks import TASKS
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.test_tasks import USUAL
from tests.e2e.use import INPUTS, predicts_as_evaluated
from tests.support.projects import KINDS, PROJECTS

ODD_OBJECTS = {
    '{"question": "film \\ud83d", "context": "a"}': "`\\ud83d` is half of a surrogate pair",
    '{"question": "film", "context": "a"': "Expecting ',' delimiter at character 36",
    '{"question": "film", "question": "goal", "context": "a"}': 'key "question" occurs twice',
    '{"question": "film", "context": "a", "n": NaN}': "`NaN` is not a JSON value",
    '{"question": "film", "context": "a", "n": 1e999}': "the number 1e999 is too large",
    '{"question": "film", "context": "a", "n": ' + "9" * 5000 + "}": "a number of more than 4,300 digits",
    '{"question": "film", "context": ' + "[" * 5000 + "]" * 5000 + "}": "nested",
}
"""Lines that begin as an object in JSON, and are none: none of them is read as a text."""


def test_every_task_is_tried() -> None:
    # in test_tasks, test_embedding, test_reranking, test_rated, test_scored_answers, test_masked_language and
    # test_span_corruption
    redrawn = {"masked_language_modeling", "span_corruption"}
    scored = {"reward", "rated_reward", "scored_reward", "steps"}
    elsewhere = {*scored, "embedding", "reranking", "scored_pairs", "rated", *redrawn}
    assert INPUTS.keys() == PROJECTS.keys() - elsewhere
    tried = {KINDS.get(name, name).partition(",")[0] for name in INPUTS}
    assert tried == {task.name() for task in TASKS} - elsewhere
    assert INPUTS.keys() - USUAL.keys() == {"classification", "chat", "generation", "reinforcement", "translation"}, (
        "test_tasks and test_reinforcement have some"
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["generation", "translation"])
def test_predictions_without_answers_are_those_of_the_evaluation(
    project: MakeProject, name: str, tmp_path: Path, ftc: Ftc
) -> None:
    project(name, steps=2)
    predicts_as_evaluated(api.apply(Path("recipe.yaml")), name, ftc, tmp_path)


@pytest.mark.slow
def test_a_classification_in_every_form(project: MakeProject, ftc: Ftc, tmp_path: Path) -> None:
    root = project(steps=2)
    run = api.apply(Path("recipe.yaml"))
    predicts_as_evaluated(run, "classification", ftc, tmp_path)
    shows_why(run)
    with (tmp_path / "new.csv").open("w", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("id", "text", "label"), (7, "the goal", "nonsense"), (8, "", ""), (9, "a " * 99, "")]
        )
    answer = ftc("predict", run.record.id, "--data", tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert answer.code == 0, answer.text
    assert "[FTC690]: 1 of 3 rows have no prediction" in answer.err
    assert "[FTC691]: 1 of 3 rows are longer than 32 tokens" in answer.err
    assert answer.err.rstrip().endswith(f"Wrote 3 predictions to {tmp_path / 'out.csv'}.")
    first, second, third = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (first["id"], first["label"]) == ("7", "nonsense"), "other columns stay, and are never read"
    known = json.loads(first["probabilities"])
    assert set(known) == {"film", "money", "sport"}
    assert sum(known.values()) == pytest.approx(1, abs=1e-5)
    assert first["prediction"] == max(known, key=known.__getitem__)
    assert float(first["probability"]) == pytest.approx(max(known.values()))
    assert (second["prediction"], second["problem"]) == ("", "column `text` is empty")
    assert third["truncated"] == "true"
    refused = ftc("predict", run.record.id, "--data", tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert (refused.code, "[FTC651]" in refused.err) == (1, True), refused.text
    assert ftc("predict", run.record.id, "the goal", "-o", tmp_path / "out.csv", "--force").code == 0
    assert ftc("predict", run.record.id, "the goal").out.split()[0] == first["prediction"]
    a_table_of_odd_columns(run, ftc, tmp_path)
    model = package.load(run.record.id)
    (one,) = model.predict("the goal")
    assert one.prediction == first["prediction"]
    both = package.find_run(run.record.id, root).load().predict([{"text": "the goal"}, "an old film"])
    assert both[0].prediction == one.prediction
    with pytest.raises(Refusal, match="FTC687"):
        model.generate(["the goal"])
    with pytest.raises(Refusal, match="FTC688"):
        model.predict([{"Body": "the goal"}])


def a_table_of_odd_columns(run: api.Run, ftc: Ftc, tmp_path: Path) -> None:
    """Columns without a form in JSON are named, and what is written is JSON for every reader."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": ["the goal", "a film"], "id": [b"\xff", b"\x00"], "x": [float("nan"), float("inf")]})
    pq.write_table(table, tmp_path / "odd.parquet")
    said = ftc("predict", run.record.id, "--data", tmp_path / "odd.parquet", "--json")
    assert said.code == 0, said.text
    assert "[FTC608]: the output lacks columns that have no form in JSON or CSV" in said.err
    assert "`id` (binary)" in said.err
    strict = json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [row["x"] for row in strict] == [None, None]
    (run.folder / "adapter" / "adapter_model.safetensors").rename(tmp_path / "kept")
    gone = ftc("predict", run.record.id, "the goal")
    assert (gone.code, "[FTC630]" in gone.err, "No such file" in gone.err) == (6, True, True), gone.text
    (tmp_path / "kept").rename(run.folder / "adapter" / "adapter_model.safetensors")


def shows_why(run: api.Run) -> None:
    """The report's rows have a weight for each token, and these sum to the score less that of average tokens."""
    import torch
    from tokenizers import Tokenizer

    from ftc.runtime.evaluation.attributions import _path, _weights
    from ftc.spec.documents.streams import open_stream
    from ftc.spec.storage.paths import streams_folder

    assert run.evaluation is not None
    reasons = run.evaluation.attributions
    assert reasons
    prompts = {one.row: one.text for one in run.evaluation.predictions}
    known = [one for one in reasons if one.row in prompts]
    assert ["".join(token.text for token in one.tokens).strip() for one in known] == [prompts[one.row] for one in known]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Why the model chose" in page
    assert "by integrated gradients" in page
    work, rows = api.load(run)._work, open_stream(streams_folder(run.plan.stream_key) / "test.arrow")
    model: Any = work.model
    tokenizer = Tokenizer.from_file(str(Path(run.plan.settings.model.base) / "tokenizer.json"))
    path = _path(work, tokenizer, torch.device("cpu"))
    found = _weights(work, rows, 0, 1, path, 3)
    assert found is not None
    assert _weights(work, rows, 0, 1, path, 8) == pytest.approx(found, rel=1e-3, abs=1e-5)

    def average(_layer: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.isin(inputs[0], path.special).unsqueeze(-1), output, path.average)

    def score() -> float:
        with torch.no_grad():
            return float(work.scorer.logits(model, work.scorer.batch(rows, [0]))[0, 1])

    own = score()
    handle = model.get_base_model().get_input_embeddings().register_forward_hook(average)
    assert sum(found) == pytest.approx(own - score(), rel=0.1, abs=1e-3)
    handle.remove()


@pytest.mark.slow
def test_words_that_are_written(project: MakeProject, ftc: Ftc, tmp_path: Path) -> None:
    project("chat", steps=2)
    run = api.apply(Path("recipe.yaml"))
    predicts_as_evaluated(run, "chat", ftc, tmp_path)
    model = api.load(run)
    (said,) = model.generate("the goal", max_new_tokens=3)
    (again,) = model.generate([{"messages": [{"role": "user", "content": "the goal"}]}], max_new_tokens=3)
    assert said == again
    assert len(model.generate("the goal", max_new_tokens=9)[0]) >= len(said)
    assert ftc("predict", run.record.id, "the goal", "--max-new-tokens", "3").out.strip() == said.strip()


def test_what_can_not_be_used(project: MakeProject, ftc: Ftc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = project("extraction", steps=1)
    run = api.apply(Path("recipe.yaml"))
    alone = ftc("predict", run.record.id, "which film")
    assert (alone.code, "[FTC688]" in alone.err) == (1, True)
    assert '`{"context": "…", "question": "…"}`' in alone.err
    row = json.dumps({"question": "which film", "context": "an old film"})
    whole = ftc("predict", run.record.id, row, "--json")
    assert whole.code == 0, whole.text
    (tmp_path / "new.csv").write_text("question,Context\na,b\n")
    renamed = ftc("predict", run.record.id, "--data", tmp_path / "new.csv")
    assert "has no column `context`, which the run reads" in renamed.text
    assert "rename `Context` to `context`" in renamed.text
    rows = [("id", "question", "context"), ("1", "which film", "an old film, or a goal; a film"), ("2", "é", "é film")]
    with (tmp_path / "old.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)
    assert ftc("predict", run.record.id, "--data", tmp_path / "old.csv", "-o", tmp_path / "out.csv").code == 0
    answers = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8")), delimiter=";"))
    assert [row[:3] for row in answers] == [["\ufeffid", *rows[0][1:]], *map(list, rows[1:])]
    assert answers[0][3] == "prediction"
    for words in ((), ("a", "--data", "b.csv"), ("-", "a"), ("a", "-o", "out.xlsx"), ("a", "--max-new-tokens", "0")):
        assert ftc("predict", run.record.id, *words).code == 64, words
    assert ftc("predict", run.record.id, "--quiet", row).code == 0, "options may stand before texts"
    for name in ("new.csv", "new.xlsx"):
        (tmp_path / name).touch()
        said = ftc("predict", run.record.id, tmp_path / name).err
        assert f"`--data {tmp_path / name}` predicts for its rows" in said
    assert "[FTC354]: text 1 holds a character that is none" in ftc("predict", run.record.id, "film \udcff").err
    for broken, reason in ODD_OBJECTS.items():
        odd = ftc("predict", run.record.id, broken)
        assert (odd.code, "[FTC355]: text 1 is not a JSON object" in odd.err, reason in odd.text) == (3, True, True), (
            odd.text
        )
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    assert "[FTC689]: there is no text to predict for" in ftc("predict", run.record.id, "-").err
    (root / "encoder").rename(root / "elsewhere")
    gone = ftc("predict", run.record.id, row)
    assert (gone.code, "[FTC687]" in gone.err, "its base model" in gone.err) == (1, True, True), gone.text
    record = json.loads((run.folder / "record.json").read_text())
    (run.folder / "record.json").write_text(json.dumps({**record, "status": "interrupted"}))
    unfinished = ftc("predict", run.record.id, row)
    assert (unfinished.code, "it is interrupted" in unfinished.err) == (1, True), unfinished.text


@pytest.mark.slow
def test_a_page_that_can_not_be_drawn_costs_nothing_else(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured is on disk first; the page is drawn by the next `apply` or `show` that can."""
    root = project("choice", steps=1)
    with monkeypatch.context() as broken:
        broken.setattr("ftc.views.report.run_report.rows_section", lambda *_: 1 / 0)
        applied = ftc("apply", "recipe.yaml", "--yes")
        assert applied.code == 0, applied.text
        assert "[FTC692]" in applied.err
        assert "ZeroDivisionError" in applied.err
        assert "bug in ftc" not in applied.text
        (run,) = (root / "runs").glob("*/*/")
        assert json.loads((run / "record.json").read_text())["status"] == "finished"
        assert (run / "README.md").exists(), "the card is drawn by itself"
        assert not (run / "report.html").exists()
        assert "[FTC692]" in ftc("show", run.name).err
    again = ftc("apply", "recipe.yaml", "--yes")
    assert (again.code, again.err) == (0, ""), again.text
    assert (run / "report.html").exists()
    shown = ftc("show", run.name)
    assert "report.html" in shown.out
    assert f"`ftc predict {run.name} TEXT`" in shown.text
    assert "README.md" in shown.out
