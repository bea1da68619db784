"""Rows as other tools and the hub have them: `ftc init` writes their recipe, and nothing of a row is lost unseen."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.spec.diagnostics import Refusal
from tests.support.projects import make_model


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads whole conversations."""
    return make_model(tmp_path_factory.mktemp("models") / "decoder", "decoder", length=1024)


@pytest.fixture(autouse=True)
def project(decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ftc").mkdir()
    shutil.copytree(decoder, tmp_path / "models" / "decoder")
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def begin(rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `ftc init` says of the rows, as JSON."""
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["init", "--data", "rows.jsonl", "--no-calibrate", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def read(row: int, capsys: pytest.CaptureFixture[str]) -> str:
    """A row's text as the model reads it."""
    arguments = ["tokens", "recipe.yaml", "--row", str(row), "--json", "--offline", "--set", "data.split.test=0"]
    assert main([*arguments, "--set", "data.split.validation=0"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["rows"]
    return "".join(token["piece"] for token in found["tokens"]).translate({0x120: " ", 0x10A: "\n"})


@pytest.mark.parametrize(
    ("first", "second"), [("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2")]
)
def test_both_texts_of_a_pair_are_read(first: str, second: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{first: f"cold number {n}", second: f"warm number {n}", "label": n % 2} for n in range(20)]
    found = begin(rows, capsys)
    assert {one["part"]: one["column"] for one in found["columns"]} == {
        "text": first,
        "text_pair": second,
        "label": "label",
    }
    assert "warm number 0" in read(1, capsys)


def test_every_wrong_passage_is_read_whatever_the_column_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"anchor": f"query {n}", "positive": f"right {n}", "negatives": [f"wrong {n}", f"odd {n}"]} for n in range(20)
    ]
    assert {"part": "negative", "column": "negatives", "facts": ""} in begin(rows, capsys)["columns"]
    assert "wrong 0" in read(1, capsys)


def test_passages_of_ms_marco_are_read_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    def passage(text: str, title: str = "") -> dict[str, str]:
        return {"docid": "1", "title": title, "text": text}

    rows: list[dict[str, Any]] = [
        {
            "query": f"cold {n}",
            "positive_passages": [passage(f"warm {n}", "mild")],
            "negative_passages": [passage(f"hot {n}"), passage(f"odd {n}")],
        }
        for n in range(20)
    ]
    assert begin(rows, capsys)["task"] == "embedding"
    shown = read(1, capsys)
    assert "mild warm 0" in shown
    assert "hot 0" in shown
    rows[3]["positive_passages"] *= 2
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["plan", "--offline"]) == 3
    assert "a row for each where a query has several right passages" in " ".join(capsys.readouterr().err.split())


def test_a_context_stands_below_its_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": f"do {n}", "context": f"cold {n}" if n else "", "response": "warm"} for n in range(20)]
    found = begin(rows, capsys)
    assert {"part": "input", "column": "context", "facts": ""} in found["columns"]
    assert found["shown"][0]["place"] == "rows.jsonl:1", "a row without a context is a row"
    assert "do 1\n\ncold 1" in read(2, capsys)


@pytest.mark.parametrize("answers", ["texts", "conversations"])
def test_a_system_message_stands_before_both_answers(answers: str, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(n: int, text: str) -> Any:
        return text if answers == "texts" else [said("user", f"cold {n}"), said("assistant", text)]

    prompt = {"question": "cold"} if answers == "texts" else {}
    rows = [
        {"system": "be brief", **prompt, "chosen": answer(n, f"warm {n}"), "rejected": answer(n, f"mild {n}")}
        for n in range(20)
    ]
    begin(rows, capsys)
    assert read(1, capsys).count("<s>system: be brief</s><s>user: cold") == 2


_ASKED = [said("user", "hello"), said("assistant", "yes"), said("user", "cold")]


@pytest.mark.parametrize("given", ["column", "prompt"])
@pytest.mark.parametrize(
    ("loss", "row"),
    [
        ("bradley_terry", {"prompt": _ASKED, "chosen": "warm", "rejected": "mild"}),
        ("bradley_terry", {f"{one}": [*_ASKED, said("assistant", one)] for one in ("chosen", "rejected")}),
        ("binary_cross_entropy", {"prompt": _ASKED, "completion": [said("assistant", "warm")], "label": True}),
        ("binary_cross_entropy", {"messages": [*_ASKED, said("assistant", "warm")], "rating": 0}),
        ("mse", {"prompt": _ASKED, "completion": "warm", "score": 0.5}),
        ("mse", {"messages": [*_ASKED, said("assistant", "warm")], "score": 3}),
    ],
)
def test_a_reward_model_reads_a_conversation_behind_its_system_message(
    loss: str, row: dict[str, Any], given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = dict(row) | ({"system": "be brief"} if given == "column" else {})
    for key in ("prompt", "messages", "chosen", "rejected") if given == "prompt" else ():
        if isinstance(row.get(key), list):
            row[key] = [said("system", "be brief"), *row[key]]
    rows = [json.loads(json.dumps(row).replace("cold", f"cold {n}")) for n in range(20)]
    for n, one in enumerate(rows):
        one.update({key: n % 2 for key in ("score", "rating", "label") if key in one})
    Path("rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    recipe = f"ftc: 1\nname: t\ntask: {{kind: reward, loss: {loss}}}\ndata: {{source: {{path: rows.jsonl}}}}\n"
    Path("recipe.yaml").write_text(f"{recipe}model: {{base: models/decoder}}\nstrategy: {{kind: lora}}\n", "utf-8")
    asked = "<s>system: be brief</s><s>user: hello</s><s>assistant: yes</s><s>user: cold 2</s><s>assistant: "
    assert asked in read(3, capsys)


@pytest.mark.parametrize("task", ["preference", "reward"])
def test_transcripts_of_hh_rlhf_are_conversations(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Split at the last turn of the assistant in the chosen one; a rejected one with further turns is an answer."""
    rows = []
    for n in range(20):
        asked = f"\n\nHuman: hello\n\nAssistant: yes\n\nHuman: cold\n\nHuman: mild {n}\n\nAssistant:"
        more = "\n\nHuman: why?\n\nAssistant: so" if n == 2 else ""
        twice = "\n\nAssistant: indeed" if n == 5 else ""
        rows.append({"chosen": f"{asked} warm{twice}", "rejected": f"{asked} hot{more}"})
    assert begin(rows, capsys)["task"] == "preference"
    if task == "reward":
        recipe = Path("recipe.yaml").read_text(encoding="utf-8").replace("kind: preference", "kind: reward")
        Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    asked = "<s>user: hello</s><s>assistant: yes</s><s>user: cold\n\nmild 0</s><s>assistant: "
    assert read(1, capsys).count(asked) == 2
    assert "hot\n\nHuman: why?" in read(3, capsys)
    assert "assistant: warm\n\nindeed" in read(6, capsys)
    rows[4]["rejected"] = "\n\nHuman: another one\n\nAssistant: odd"
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(["plan", "--offline"]) == 3
    shown = " ".join(capsys.readouterr().err.split())
    assert "FTC379" in shown


def test_keys_inside_a_column_are_named_with_the_way_to_make_them_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": n, "data": {"text": f"cold number {n}", "label": n % 2}} for n in range(20)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = "ftc: 1\nname: t\ntask: {kind: classification}\ndata: {source: {path: rows.jsonl}}\n"
    Path("recipe.yaml").write_text(f"{recipe}model: {{base: models/decoder}}\nstrategy: {{kind: lora}}\n", "utf-8")
    assert main(["plan", "--offline"]) == 3
    shown = " ".join(capsys.readouterr().err.split())
    assert "column `data` holds objects with `text`, `label`, which are no columns" in shown
    assert "jq -c '. + .data | del(.data)' FILE > flat.jsonl" in shown


def test_marked_passages_of_ms_marco_lead_to_a_row_for_each_right_one() -> None:
    """The command of the finding makes rows that can be planned."""

    def passages(*selected: int) -> dict[str, Any]:
        return {"is_selected": [*selected], "passage_text": ["cold", "warm", "mild"], "url": ["a", "b", "c"]}

    rows = [{"query": f"cold {n}", "passages": passages(0, 1, 0), "answers": ["warm"]} for n in range(20)]
    rows += [{"query": "none", "passages": passages(0, 0, 0)}, {"query": "two", "passages": passages(1, 1, 0)}]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = "ftc: 1\nname: t\ntask: {kind: reranking}\ndata: {source: {path: rows.jsonl}}\n"
    recipe += "model: {base: models/decoder}\nstrategy: {kind: lora}\n"
    Path("recipe.yaml").write_text(recipe, encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        api.plan("recipe.yaml", offline=True)
    help = refused.value.diagnostics[0].help[1]
    command = help[help.index("jq ") : help.rindex("FILE > flat.jsonl`")]
    if shutil.which("jq") is None:
        pytest.skip("jq makes the rows")
    arguments = [*shlex.split(command), "rows.jsonl"]
    Path("flat.jsonl").write_bytes(subprocess.run(arguments, check=True, capture_output=True).stdout)
    made = [json.loads(line) for line in Path("flat.jsonl").read_text(encoding="utf-8").splitlines()]
    assert made[0] == {"query": "cold 0", "positive": "warm", "negative": ["cold", "mild"]}
    assert [row["positive"] for row in made if row["query"] == "two"] == ["cold", "warm"]
    assert len(made) == 22
    Path("recipe.yaml").write_text(recipe.replace("rows.jsonl", "flat.jsonl"), encoding="utf-8")
    found = api.plan("recipe.yaml", offline=True)
    assert found.plan.lock.data.sources["rows"].rows == 22


@pytest.mark.parametrize(
    "answers",
    [
        {"completion": [said("assistant", "warm")]},
        {"completion": [said("assistant", "warm")], "label": True},
        {"chosen": [said("assistant", "warm")], "rejected": [said("assistant", "mild")]},
        {"chosen": "warm", "rejected": "mild"},
        {"solution": "warm"},
    ],
)
def test_a_prompt_may_be_a_conversation(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    turns = [said("developer", "be brief"), said("user", "hello"), said("assistant", "yes")]
    rows = [{"prompt": [*turns, said("user", f"cold {n}")], **answers} for n in range(20)]
    if "label" in answers:
        rows = [{**row, "label": n % 2 == 0} for n, row in enumerate(rows)]
    begin(rows, capsys)
    shown = read(1, capsys)
    assert "<s>system: be brief</s><s>user: hello</s><s>assistant: yes</s><s>user: cold 0</s><s>assistant:" in shown
    assert ("solution" in answers) == ("warm" not in shown), "the policy writes its own answer"


def test_prompts_of_both_kinds_may_stand_in_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    turns = [said("system", "be brief"), said("user", "cold")]
    rows = [{"prompt": turns if n == 1 else f"mild {n}", "completion": "warm"} for n in range(20)]
    begin(rows, capsys)
    assert "<s>system: be brief</s><s>user: cold</s><s>assistant:" in read(2, capsys)
    assert read(1, capsys).startswith("<s>user: mild 0")


@pytest.mark.parametrize(
    ("task", "rows", "words"),
    [
        ("regression", [{"text": "a", "score": "1.234,50"}] * 2, "decimal: ','"),
        ("classification, multi_label: true", [{"text": "a", "label": "x;y"}] * 2, '["…", "…"]'),
        ("token_classification", [{"tokens": ["a"], "tags": [3]}] * 2, "each tag's name"),
        ("generation", [{"prompt": ["a"], "completion": "b"}] * 2, "`data.fields`"),
    ],
)
def test_values_of_another_kind_come_with_the_way_to_write_them(
    task: str, rows: list[dict[str, Any]], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = f"ftc: 1\nname: t\ntask: {{kind: {task}}}\ndata: {{source: {{path: rows.jsonl}}}}\n"
    Path("recipe.yaml").write_text(f"{recipe}model: {{base: models/decoder}}\nstrategy: {{kind: lora}}\n", "utf-8")
    assert main(["plan", "--offline"]) == 3
    shown = " ".join(capsys.readouterr().err.split())
    assert "FTC363" in shown
    assert words in shown


def test_labels_of_a_csv_file_may_be_lists(capsys: pytest.CaptureFixture[str]) -> None:
    labels = ['["cold"]', '["cold", "warm"]', "[]", '["warm"]']
    lines = [f'text {n} is here,"{labels[n % 4].replace(chr(34), chr(34) * 2)}"' for n in range(40)]
    Path("rows.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    Path("recipe.yaml").write_text(
        "ftc: 1\nname: t\ntask: {kind: classification, multi_label: true}\ndata: {source: {path: rows.csv}}\n"
        "model: {base: models/decoder}\nstrategy: {kind: lora}\n",
        encoding="utf-8",
    )
    assert main(["plan", "--offline", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["settings"]["text"]["labels"] == ["cold", "warm"]


def planned(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """The plan of all rows as training rows, as JSON."""
    whole = ["--set", "data.split.test=0", "--set", "data.split.validation=0"]
    assert main(["plan", "recipe.yaml", "--offline", "--json", *whole, *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_pair_is_one_row_in_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    begin([{"prompt": f"cold {n}", "chosen": f"warm {n}", "rejected": f"mild {n}"} for n in range(20)], capsys)
    (merged,) = [one for one in planned(capsys)["diagnostics"] if one["code"] == "FTC340"]
    assert merged["notes"] == ["train: 20 of 20 rows"]
    assert "in 20 rows" in merged["summary"]


@pytest.mark.parametrize(("count", "batch", "steps"), [(9, 2, 5), (3, 1, 3), (2, 1, 2)])
def test_the_batch_that_is_proposed_gives_the_steps_that_are_named(
    count: int, batch: int, steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    begin([{"prompt": f"cold {n}", "completion": f"warm {n}"} for n in range(count)], capsys)
    (small,) = [one for one in planned(capsys)["diagnostics"] if one["code"] == "FTC234"]
    assert small["help"] == [f"write `batch_size: {batch}` for {steps} steps an epoch, or use more rows"]
    train = planned(capsys, "--set", f"train.batch_size={batch}", "--set", "train.epochs=1")
    assert train["plan"]["settings"]["train"]["num_steps"] == steps


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["texts", "conversations"])
def test_a_tuned_model_answers_below_the_system_message_of_each_new_row(
    answers: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(n: int) -> dict[str, Any]:
        texts = {"chosen": f"warm {n}", "rejected": f"mild {n}"}
        if answers == "texts":
            return {"system": "be brief", "prompt": f"cold {n}", **texts}
        turns = {key: [said("user", f"cold {n}"), said("assistant", text)] for key, text in texts.items()}
        return {"system": "be brief", **turns}

    begin([row(n) for n in range(20)], capsys)
    assert main(["apply", "recipe.yaml", "--offline", "--yes", "--set", "train.max_steps=1"]) == 0
    asked = {"prompt": "cold 3"} if answers == "texts" else {"messages": [said("user", "cold 3")]}
    Path("new.jsonl").write_text(json.dumps({"system": "be brief", **asked}) + "\n", encoding="utf-8")
    read_texts: list[str] = []
    encode = TextTokenizer.encode

    def kept(self: TextTokenizer, texts: Any, *rest: Any, **more: Any) -> Any:
        read_texts.extend(one.text for one in texts)
        return encode(self, texts, *rest, **more)

    monkeypatch.setattr(TextTokenizer, "encode", kept)
    capsys.readouterr()
    assert main(["predict", "rows", "--data", "new.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["system"] == "be brief"
    assert any("<s>system: be brief</s><s>user: cold 3</s>" in text for text in read_texts)
