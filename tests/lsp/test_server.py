"""The language server as an editor meets it: a process of its own, asked over the protocol."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lsp_client import Client, range_text
from tests.support.recipes import recipe_text

pytest.importorskip("pygls", reason="pygls isn't installed: pip install 'ftc[lsp]'")

SHIPPED = sorted((Path(__file__).parents[2] / "recipes" / "demo").glob("*.yaml"))
HEAD = """\
ftc: 1
name: tiny
task: {kind: classification}
data: {source: {path: rows.jsonl}}
model: {base: model}
strategy: {kind: lora}
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One server for all tests that don't need their own; each test has a document of its own."""
    with Client(tmp_path_factory.mktemp("project")) as client:
        yield client


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A document that no other test uses."""
    return (tmp_path / "recipe.yaml").as_uri()


def labels(items: list[dict[str, Any]]) -> list[str]:
    return [item["label"] for item in sorted(items, key=lambda item: item["sortText"])]


def completed(client: Client, uri: str, text: str) -> list[dict[str, Any]]:
    """What the server offers at the mark `|` of a text."""
    offset = text.index("|")
    text = text[:offset] + text[offset + 1 :]
    client.open(uri, text)
    items: list[dict[str, Any]] = client.ask("completion", uri, text, offset)
    return items


def hovered(client: Client, uri: str, text: str) -> Any:
    offset = text.index("|")
    text = text[:offset] + text[offset + 1 :]
    client.open(uri, text)
    return client.ask("hover", uri, text, offset)


def test_a_valid_recipe_has_no_findings(client: Client, uri: str) -> None:
    client.open(uri, HEAD)
    assert client.findings(uri) == []


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_have_no_findings(client: Client, recipe: Path) -> None:
    client.open(recipe.as_uri(), recipe.read_text(encoding="utf-8"))
    assert client.findings(recipe.as_uri()) == []


def test_all_findings_come_at_once_with_code_place_and_help(client: Client, uri: str) -> None:
    text = HEAD + "train:\n  learning_rte: 1e-4\n  batch_size: 0\n"
    client.open(uri, text)
    unknown, bound = client.findings(uri)
    assert (unknown["code"], unknown["severity"], unknown["source"]) == ("FTC104", 1, "ftc")
    assert range_text(text, unknown["range"]) == "learning_rte"
    assert "rename the key to `learning_rate`" in unknown["message"]
    assert (bound["code"], range_text(text, bound["range"])) == ("FTC103", "0")


def test_a_warning_is_a_warning(client: Client, uri: str) -> None:
    client.open(uri, HEAD + "train: {learning_rate: 5}\n")
    assert [one["severity"] for one in client.findings(uri)] == [2]


def test_a_change_is_checked_and_the_last_version_counts(client: Client, uri: str) -> None:
    client.open(uri, HEAD)
    assert client.findings(uri) == []
    wrong = HEAD + "trian: {}\n"
    for version in (2, 3, 4):
        client.change(uri, HEAD, version)
    client.change(uri, wrong, 5)
    (found,) = client.findings(uri, version=5)
    assert found["code"] == "FTC104"
    client.change(uri, HEAD, 6)
    assert client.findings(uri, version=6) == []


@pytest.mark.parametrize("text", ["", "a: [", "\x00", "- 1", "a: *b", "{" * 300, "task:\n\tkind: chat\n"])
def test_a_text_that_is_no_recipe_has_findings(client: Client, uri: str, text: str) -> None:
    client.open(uri, text)
    assert client.findings(uri)


def test_columns_are_utf16_units(client: Client, uri: str) -> None:
    text = HEAD.replace("{kind: classification}", '{kind: classification, labels: ["🙂🙂", "é", 1.5, x], labls: 1}')
    client.open(uri, text)
    found = {one["code"]: one for one in client.findings(uri)}
    assert range_text(text, found["FTC104"]["range"]) == "labls"
    answer = hovered(client, uri, HEAD.replace("{base: model}", '{base: "🙂", rev|ision: main}'))
    assert range_text(HEAD.replace("{base: model}", '{base: "🙂", revision: main}'), answer["range"]) == "revision"
    items = completed(client, uri, HEAD.replace("{base: model}", '{base: "🙂", rev|}'))
    revision = next(item for item in items if item["label"] == "revision")
    start = revision["textEdit"]["range"]["start"]["character"]
    assert start == len('model: {base: "🙂", '.encode("utf-16-le")) // 2


def test_columns_are_characters_where_the_client_counts_them(tmp_path: Path) -> None:
    text = HEAD.replace("{base: model}", '{base: "🙂", revison: main}')
    with Client(tmp_path, encodings=("utf-32",)) as client:
        assert client.capabilities["positionEncoding"] == "utf-32"
        client.open((tmp_path / "recipe.yaml").as_uri(), text)
        (found,) = client.findings((tmp_path / "recipe.yaml").as_uri())
        assert found["range"]["start"]["character"] == 'model: {base: "🙂", revison: main}'.index("revison")


def test_a_byte_order_mark_moves_the_first_line(client: Client, uri: str) -> None:
    client.open(uri, "\ufeffftcc: 1\n" + HEAD.partition("\n")[2])
    found = next(one for one in client.findings(uri) if one["code"] == "FTC104")
    assert (found["range"]["start"]["character"], found["range"]["end"]["character"]) == (1, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|", ["ftc", "name", "task", "data", "model", "strategy"]),
        (HEAD + "|", ["extends", "train", "eval", "budget"]),
        (HEAD + "train:\n  |", ["epochs", "max_steps", "batch_size"]),
        (HEAD + "train:\n  epochs: 1\n  ba|\nbudget: {}\n", ["max_steps", "batch_size"]),
        ("strategy: {|", ["kind"]),
        ("strategy: {kind: lora, ra|", ["rank", "alpha", "dropout", "targets"]),
        ("strategy: {kind: lora, ra|}\nmodel: {base: x}\n", ["rank", "alpha", "dropout", "targets"]),
        ("strategy:\n  kind: full\n  |", ["freeze"]),
        (
            "data: {source: {|}}",
            ["path", "hub", "delimiter", "columns", "decimal", "sheet", "reader", "file", "config"],
        ),
        ("data: {source: {hub: a/b, |}}", ["file", "config", "split", "revision"]),
        ("data:\n  split:\n    |", ["validation", "test", "stratify"]),
        ("task: {kind: generation}\ndata:\n  fields: {|", ["completion", "prompt"]),
        ("task: {kind: chat}\ndata: {fields: {|}}", ["messages"]),
        ("task: {kind: classification}\ndata: {fields: {text: a, |}}", ["label", "text_pair"]),
        ("data:\n  fields: {|", ["text", "label"]),
        ("eval:\n  gates:\n    |", ["accuracy", "macro_f1"]),
        ("train:\n  early_stopping: {|", ["metric", "patience", "min_delta"]),
        ("train: {}  # |", []),
        ("task:\n  prompt: >-\n    |\n", []),
    ],
)
def test_keys_are_completed(client: Client, uri: str, text: str, expected: list[str]) -> None:
    assert labels(completed(client, uri, text))[: len(expected) or None] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "task: {kind: |",
            ["classification", "token_classification", "question_answering"],
        ),
        ("strategy:\n  kind: l|\n", ["full", "lora", "qlora"]),
        ("strategy: |", ["{kind: full}", "{kind: lora}", "{kind: qlora}"]),
        ("data: {overflow: |}", ["cut", "drop", "refuse"]),
        ("strategy: {kind: qlora, quantization: |}", ["nf4", "fp4"]),
        ("train: {schedule: {kind: |", ["constant", "linear", "cosine"]),
        ("train:\n  activation_checkpointing: |", ["auto", "true", "false", "selective"]),
        ("eval: {metrics: [|", ["accuracy", "macro_f1"]),
        ("eval:\n  metrics:\n    - accuracy\n    - |\n", ["accuracy", "macro_f1"]),
        ("eval:\n  metrics: |\n", ["auto", "[accuracy]"]),
        ("train: {early_stopping: {metric: |}}", ["val_loss", "val_accuracy", "val_macro_f1"]),
        ("budget: {device: |}", ["auto", "cpu"]),
        ("budget: {vram: |}", ["24GiB", "80GB"]),
        ("ftc: |", ["1"]),
        ("name: |", []),
    ],
)
def test_values_are_completed(client: Client, uri: str, text: str, expected: list[str]) -> None:
    assert labels(completed(client, uri, text))[: len(expected) or None] == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", 'message,the class,"odd: one",on\n1,2,3,4\n'),
        ("rows.tsv", "message\tthe class\todd: one\ton\n"),
        ("rows.jsonl", '{"message": 1, "the class": 2, "odd: one": 3, "on": 4}\n{"more": 1}\n'),
    ],
)
@pytest.mark.parametrize("place", ["fields: {text: |", "fields:\n    label: m|\n", "split: {stratify: |}"])
def test_columns_of_the_data_are_offered(
    client: Client, uri: str, tmp_path: Path, name: str, content: str, place: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    text = f"data:\n  source: {{path: {name}}}\n  {place}"
    assert labels(completed(client, uri, text)) == ["message", "the class", '"odd: one"', "on"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("../rows.csv", "a,b\n"),
        ("rows.parquet", "PAR1"),
        ("rows.jsonl", "[" * 5000),
        ("rows.jsonl", ""),
        ("rows.csv", "hf_" + "a" * 30 + "," + "b" * 500 + "\n"),
    ],
)
def test_a_file_that_is_no_plain_rows_offers_no_columns(
    client: Client, uri: str, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / name).write_text(content, encoding="utf-8")
    uri = (tmp_path / "project" / "recipe.yaml").as_uri()
    found = labels(completed(client, uri, f"data: {{source: {{path: {name}}}, fields: {{text: |}}}}"))
    assert not any("a" * 9 in one or "b" * 9 in one for one in found)
    assert found in ([], ["hf_" + "*" * 30], ['"hf_' + "*" * 30 + '"'])


def test_every_card_of_the_catalog_is_offered(client: Client, uri: str) -> None:
    from ftc.spec.devices import CARDS

    assert set(CARDS) < set(labels(completed(client, uri, "budget:\n  device: rt|\n")))


def test_a_completed_key_is_ready_for_its_value(client: Client, uri: str) -> None:
    items = {item["label"]: item for item in completed(client, uri, HEAD + "train:\n  epo|")}
    assert items["epochs"]["textEdit"]["newText"] == "epochs: "
    assert items["schedule"]["textEdit"]["newText"] == "schedule:"
    assert "passes over the training rows" in items["epochs"]["documentation"]["value"]
    text = HEAD + "train:\n  epo: 3\n"
    place = items["epochs"]["textEdit"]["range"]
    assert range_text(text, place) == "epo"
    renamed = {item["label"]: item for item in completed(client, uri, HEAD + "train:\n  epo|: 3\n")}
    assert renamed["epochs"]["textEdit"]["newText"] == "epochs"


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        (
            "train:\n  ba|tch_size: 8\n",
            "batch_size",
            ("integer, ≥ 1", "unit: rows", "default `16`", "changes the result"),
        ),
        ("train:\n  batch_size: |8\n", "8", ("Rows per optimizer step",)),
        ("budget: {vr|am: 24GiB}", "vram", ("such as `24GiB`", "changes time or memory")),
        ("strategy: {kind: lo|ra}", "lora", ("Low-rank adapters", "required")),
        ("eval: {metrics: [accu|racy]}", "accuracy", ("Names of metrics",)),
        ("data: {sp|lit: {test: 0.1, se|ed: 3}}".replace("se|ed", "seed"), "split", ("How rows are split",)),
    ],
)
def test_hovering_explains(client: Client, uri: str, text: str, word: str, said: tuple[str, ...]) -> None:
    answer = hovered(client, uri, text)
    assert range_text(text.replace("|", ""), answer["range"]) == word
    for part in said:
        assert part in answer["contents"]["value"]


@pytest.mark.parametrize("text", ["|", "tr|ian: {}", "# fo|o", "train: {epochs: 1}   |  "])
def test_hovering_over_nothing_says_nothing(client: Client, uri: str, text: str) -> None:
    assert hovered(client, uri, text) is None


def test_a_quick_fix_mends(client: Client, uri: str) -> None:
    text = HEAD + 'train:\n  # "🙂"\n  learning_rte: 1e-4\n'
    client.open(uri, text)
    (found,) = client.findings(uri)
    context = {"diagnostics": [found]}
    asked = {"textDocument": {"uri": uri}, "range": found["range"], "context": context}
    (action,) = client.request("textDocument/codeAction", asked)
    assert action["kind"] == "quickfix"
    assert action["isPreferred"]
    (edit,) = action["edit"]["changes"][uri]
    assert (range_text(text, edit["range"]), edit["newText"]) == ("learning_rte", "learning_rate")
    elsewhere = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
    assert client.request("textDocument/codeAction", {**asked, "range": elsewhere}) == []


def test_findings_of_an_extended_file_are_told_here(client: Client, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "base.yaml").write_text(HEAD + "train: {epochs: 0}\n", encoding="utf-8")
    uri = (tmp_path / "recipe.yaml").as_uri()
    client.open(uri, "extends: base.yaml\nftc: 1\n")
    (found,) = client.findings(uri)
    assert found["code"] == "FTC103"
    assert "in base.yaml, line 7" in found["message"]


def test_a_closed_document_has_no_findings_left(client: Client, uri: str) -> None:
    client.open(uri, "nonsense")
    assert client.findings(uri)
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    published = client.wait_for(
        lambda message: (
            message.get("method") == "textDocument/publishDiagnostics"
            and message["params"]["uri"] == uri
            and message["params"].get("version") is None
        )
    )
    assert published["params"]["diagnostics"] == []


def test_a_document_that_was_never_saved_is_served(client: Client) -> None:
    client.open("untitled:Untitled-1", recipe_text(train={"epochs": 0}))
    assert [one["code"] for one in client.findings("untitled:Untitled-1")] == ["FTC103"]


def test_a_missing_package_is_named() -> None:
    code = "import sys; sys.modules['pygls'] = None\nfrom ftc.cli.main import main\nsys.exit(main(['lsp']))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "FTC650" in child.stderr
    assert "ftc[lsp]" in child.stderr
    assert "Traceback" not in child.stderr


def test_serving_never_loads_the_training_stack() -> None:
    code = (
        "import sys, ftc.lsp.server\nprint([name for name in ('torch', 'transformers', 'rich') if name in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
