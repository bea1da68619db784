"""The untouched base model with prompts, beside the tuned one: planned, measured, shown, audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.spec.exit_codes import ExitCode
from ftc.spec.storage.paths import RunFolder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.forgeries import rows, scores
from tests.support.forging import LEDGER, reseal

WORDS = {"money": ("bank", "price"), "sport": ("goal", "match"), "film": ("actor", "song")}


@pytest.fixture
def asked(project: MakeProject) -> Path:
    """A project whose model has room for examples."""
    root = project("choice", steps=1)
    _give_room(root)
    rows = [(f"{word} {number}", label) for number in range(8) for label, words in WORDS.items() for word in words]
    texts = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    (root / "rows.jsonl").write_text("".join(texts))
    recipe = (root / "recipe.yaml").read_text().replace("max_length: 32", "max_length: 256\n  split: {test: 0.3}")
    recipe = recipe.replace("prompt: '{{ text }}'", "prompt: 'film money sport {{ text }}'")
    recipe = recipe.replace("{samples: 2}", "{samples: 2, baselines: [zero_shot, few_shot: 1]}")
    (root / "recipe.yaml").write_text(recipe)
    return root


def _give_room(root: Path) -> None:
    for name, key in (("config", "max_position_embeddings"), ("tokenizer_config", "model_max_length")):
        file = root / "decoder" / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), key: 256}))


def planned(ftc: Ftc, *changes: str) -> list[dict[str, Any]]:
    flags = [part for change in changes for part in ("--set", change)]
    found = ftc("plan", "recipe.yaml", "--json", *flags)
    assert found.code == 0, found.text
    baselines: list[dict[str, Any]] = json.loads(found.out)["plan"]["settings"]["eval"]["baselines"]
    return baselines


def _document(root: Path, name: str) -> Any:
    (file,) = (root / "runs").glob(f"*/*/{name}")
    return json.loads(file.read_text()) if name.endswith("json") else file.read_text()


def test_a_plan_holds_the_prompts_and_their_examples(asked: Path, ftc: Ftc) -> None:
    zero, few = planned(ftc)
    assert (zero["name"], zero["is_own"], zero["examples"]) == ("zero_shot", True, [])
    assert (few["name"], few["is_own"], len(few["examples"])) == ("few_shot_1", False, 1)
    assert few["examples"][0]["place"].startswith("rows.jsonl:")
    assert float(few["prompt_tokens"]) > float(few["own_tokens"]) == float(zero["prompt_tokens"])
    assert few == planned(ftc)[1], "the draw is the seed's"
    seeds = [planned(ftc, f"eval.baselines=[{{few_shot: 1, seed: {seed}}}]")[0] for seed in (1, 2, 3, 4)]
    assert len({one["examples"][0]["row"] for one in seeds}) > 1
    assert seeds[0]["name"] == "few_shot_1_seed_1"
    shown = ftc("plan", "recipe.yaml")
    assert "few-shot prompt, 1 example (rows.jsonl:" in shown.text
    assert "base, few_shot_1 and tuned, on" in shown.text
    rows = json.loads(ftc("tokens", "recipe.yaml", "--split", "few_shot_1", "--json").out)["rows"]
    whole = "".join(token["piece"] for token in rows[0]["tokens"])
    assert whole.count("film money sport") == 2
    targets = "".join(token["piece"] for token in rows[0]["tokens"] if token["supervised"])
    assert targets.count("</s>") == 1, "the example's answer is no target"


def test_labels_are_listed_where_the_prompt_does_not(asked: Path, ftc: Ftc) -> None:
    (found,) = planned(ftc, "task.prompt='{{ text }}'", "eval.baselines=[zero_shot]")
    assert "film, money, sport" in found["prompt"]
    assert not found["is_own"]
    (own,) = planned(ftc, "eval.baselines=[zero_shot]")
    assert own["prompt"] == "film money sport {{ text }}"


def test_examples_are_of_each_class_in_turn(asked: Path, ftc: Ftc) -> None:
    lines = (asked / "rows.jsonl").read_text().splitlines()
    found = planned(ftc, "task.prompt='{{ text }} film money sport'", "eval.baselines=[few_shot: 3]")
    labels = [json.loads(lines[one["row"]])["label"] for one in found[0]["examples"]]
    assert sorted(labels) == ["film", "money", "sport"]


def test_examples_that_leave_no_room_are_refused(asked: Path, ftc: Ftc) -> None:
    found = ftc("plan", "recipe.yaml", "--set", "data.max_length=40")
    assert found.code == 3
    assert "FTC254" in found.text
    assert "test rows don't fit into the longest sequence of 40 tokens" in found.text
    found = ftc("plan", "recipe.yaml", "--set", "eval.baselines=[few_shot: 60]")
    assert "60 examples are asked for" in found.text


def test_rows_that_lose_text_to_the_examples_are_counted(asked: Path, ftc: Ftc) -> None:
    rows = [json.loads(line) for line in (asked / "rows.jsonl").read_text().splitlines()]
    texts = [
        json.dumps({**row, "text": row["text"] + " the price of a share" * (14 if number % 5 == 0 else 0)})
        for number, row in enumerate(rows)
    ]
    (asked / "rows.jsonl").write_text("\n".join(texts))
    found = ftc("plan", "recipe.yaml", "--set", "data.max_length=110")
    assert found.code == 0, found.text
    assert "test rows are cut to make room for the prompt of `few_shot_1`" in found.text
    (cut,) = [one["cut_rows"] for one in planned(ftc, "data.max_length=110", "eval.baselines=[few_shot: 1]")]
    assert f"FTC255]: {cut} of 14 test rows" in found.text


@pytest.fixture
def talks(project: MakeProject) -> Path:
    """Conversations of two answers each, some with a system message."""
    root = project("chat", steps=1)
    _give_room(root)
    texts = []
    for number in range(8):
        for label, words in WORDS.items():
            said = [("user", f"{words[0]} {number}"), ("assistant", label), ("user", words[1]), ("assistant", label)]
            said[:0] = [("system", "be brief")] * (number % 2)
            texts.append(json.dumps({"messages": [{"role": role, "content": text} for role, text in said]}) + "\n")
    (root / "rows.jsonl").write_text("".join(texts))
    recipe = (root / "recipe.yaml").read_text().replace("max_length: 32", "max_length: 256\n  split: {test: 0.3}")
    recipe = recipe.replace("{samples: 2}", "{samples: 2, baselines: [zero_shot, few_shot: 2]}")
    (root / "recipe.yaml").write_text(recipe)
    return root


def test_whole_conversations_stand_before_a_conversation(talks: Path, ftc: Ftc) -> None:
    zero, few = planned(ftc)
    assert (zero["is_own"], few["is_own"], len(few["examples"])) == (True, False, 2)
    rows = json.loads(ftc("tokens", "recipe.yaml", "--split", "few_shot_2", "--json").out)["rows"]
    own = json.loads(ftc("tokens", "recipe.yaml", "--split", "test", "--json").out)["rows"]
    for row, alone in zip(rows, own, strict=True):
        whole, last = ("".join(token["piece"] for token in one["tokens"]) for one in (row, alone))
        assert whole.endswith(last.removeprefix("<s>").rpartition("be brief")[2])
        assert whole.count("be brief") == last.count("be brief"), "an example's system message stays away"
        targets = [[token["piece"] for token in one["tokens"] if token["supervised"]] for one in (row, alone)]
        assert targets[0] == targets[1]
    short = ftc("plan", "recipe.yaml", "--set", "data.max_length=100")
    assert (short.code, "FTC254" in short.text) == (3, True), short.text


def test_tools_that_a_row_does_not_offer_are_in_no_example(talks: Path, ftc: Ftc) -> None:
    tool = {"type": "function", "function": {"name": "find", "description": "finds", "parameters": {}}}
    lines = [json.loads(line) for line in (talks / "rows.jsonl").read_text().splitlines()]
    (talks / "rows.jsonl").write_text("".join(json.dumps({**line, "tools": [tool]}) + "\n" for line in lines))
    found = ftc("plan", "recipe.yaml", "--set", "data.fields.tools=tools")
    assert "tools that a test row does not offer" in found.text
    found = ftc("plan", "recipe.yaml", "--set", "data.fields.tools=tools", "--set", "eval.baselines=[zero_shot]")
    assert "FTC254" not in found.text


@pytest.mark.slow
def test_conversations_behind_examples_are_measured_and_audited(talks: Path, ftc: Ftc) -> None:
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    found, record = _document(talks, "eval.json"), _document(talks, "record.json")
    zero, few = found["prompted"]
    assert zero["metrics"] == found["base"]["metrics"]
    assert few["metrics"].keys() == {"perplexity"}
    assert few["metrics"] != zero["metrics"]
    assert "the conversation of the row" in _document(talks, "report.html")
    assert ftc("audit", record["id"]).code == 0
    _forged(talks, lambda run: scores(run, "prompted.1.metrics.perplexity", "2"), record["id"], "of few_shot_2", ftc)


@pytest.mark.slow
def test_what_the_prompts_give_is_measured_shown_and_audited(asked: Path, ftc: Ftc) -> None:
    assert ftc("apply", "recipe.yaml", "--yes", "--until", "train").code == 0
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
    found = _document(asked, "eval.json")
    zero, few = found["prompted"]
    assert zero["metrics"] == found["base"]["metrics"], "the base was given these very prompts"
    assert few["metrics"].keys() == found["tuned"]["metrics"].keys()
    gain = float(found["tuned"]["metrics"]["accuracy"]) - float(few["metrics"]["accuracy"])
    assert float(few["gains"]["accuracy"]["value"]) == pytest.approx(gain)
    record = _document(asked, "record.json")
    assert "FTC256" in {one["code"] for one in record["findings"]}, "one step teaches nothing"
    page, card, shown = _document(asked, "report.html"), _document(asked, "README.md"), ftc("show", record["id"])
    for words in ("few-shot prompt, 1 example", "Cost at use: the prompt ", "Cost of tuning: "):
        assert all(words in " ".join(text.split()) for text in (applied.text, shown.out, page, card)), words
    compared = ftc("run", "compare", record["id"], record["id"])
    assert f"base of {record['id']}, few_shot_1" in compared.text
    audited = ftc("audit", record["id"])
    assert audited.code == 0, audited.text
    (file,) = (asked / "runs").glob("*/*/predictions.ndjson")
    (line, *_) = file.read_text().splitlines()
    assert json.loads(line)["prompted"].keys() == {"zero_shot", "few_shot_1"}
    repeated = ftc("audit", record["id"], "--level", "full", "--seeds", "3", "--json")
    assert len(json.loads(repeated.out)["repetitions"]) == 3, repeated.text
    for forge, words in FORGERIES:
        _forged(asked, forge, record["id"], words, ftc)


def _right(number: int, row: dict[str, Any]) -> None:
    row["prompted"]["few_shot_1"]["text"] = row["expected"]


FORGERIES: tuple[tuple[Callable[[RunFolder], None], str], ...] = (
    (lambda run: scores(run, "prompted.1.metrics.accuracy", "0.9"), "accuracy of few_shot_1"),
    (lambda run: scores(run, "prompted.1.gains.accuracy.value", "0.5"), "gain in accuracy over few_shot_1"),
    (lambda run: scores(run, "prompted.1.prompt_tokens", "12"), "prompted.few_shot_1.prompt_tokens"),
    (lambda run: scores(run, "prompted", []), "eval.json: prompted"),
    (lambda run: rows(run, _right), "accuracy of few_shot_1"),
    (lambda run: reseal(run, findings=()), "record.json: findings"),
)


def _forged(root: Path, forge: Callable[[RunFolder], None], name: str, words: str, ftc: Ftc) -> None:
    """A forgery is found, and everything is as it was afterwards."""
    (folder,) = (root / "runs").glob(f"*/{name}")
    kept = {file: file.read_bytes() for file in (*folder.glob("*.*"), root / LEDGER)}
    forge(RunFolder(folder))
    audited = ftc("audit", name)
    assert audited.code == ExitCode.INTEGRITY, (words, audited.text)
    assert words in audited.text, audited.text
    for file, content in kept.items():
        file.write_bytes(content)
