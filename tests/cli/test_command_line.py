"""One way for each thing: every verb has the same options, by the same names, with examples that can be typed."""

from __future__ import annotations

import json
import os
import re
import shlex
from argparse import SUPPRESS
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.arguments import Example, Parser, verb_parser
from ftc.cli.main import main, parse
from ftc.cli.verbs import GROUPS, MOVED, SECTIONS, VERBS
from ftc.spec.documents.outcomes import HarnessReport
from ftc.spec.documents.started import Started
from tests.cli.conftest import World

Capture = pytest.CaptureFixture[str]

SILENT = ("lsp", "completion")
"""Verbs whose answer has one form that no user chooses: a protocol, and a script."""
EXAMPLES = [(name, example) for name, verb in VERBS.items() for example in verb.command.examples]


def parser_of(name: str) -> Parser:
    return verb_parser(name, VERBS[name].help, VERBS[name].command)


def options_of(name: str) -> set[str]:
    actions = parser_of(name)._actions
    return {flag for action in actions if action.help != SUPPRESS for flag in action.option_strings}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_what_all_have(name: str) -> None:
    wanted = {"--help", "--color", "--verbose", "-v"} | (set() if name in SILENT else {"--format", "--json"})
    assert wanted <= options_of(name)


@pytest.mark.parametrize(
    ("flag", "verbs"),
    [
        ("--set", ["validate", "plan", "tokens", "lock", "diff", "run diff", "apply"]),
        ("--locked", ["plan", "tokens", "lock", "apply"]),
        ("--offline", ["plan", "tokens", "lock", "apply", "run eval"]),
        ("--detailed-exitcode", ["fmt", "plan", "lock", "diff", "run diff"]),
        ("--output", ["import", "plan", "run compare", "run merge", "run export", "run sign", "predict"]),
    ],
)
def test_an_option_is_wherever_it_makes_sense(flag: str, verbs: list[str]) -> None:
    assert [name for name in verbs if flag not in options_of(name)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lock r.yaml --check", "lock r.yaml --detailed-exitcode"),
        ("fmt r.yaml --check", "fmt r.yaml --detailed-exitcode"),
        ("diff a b --exit-code", "diff a b --detailed-exitcode"),
        ("audit 3f2a --level replay --from 4 --to 9", "audit 3f2a --level replay --from-step 4 --to-step 9"),
        ("plan r.yaml --json", "plan --format json r.yaml"),
        ("plan --json r.yaml", "plan --format json r.yaml"),
        *((f"{old} x y", f"{new} x y") for old, new in MOVED.items() if old in ("compare", "rate")),
        *((f"{old} x", f"{new} x") for old, new in MOVED.items() if old in ("eval", "unlock", "whence", "who-used")),
        ("runs --json", "run list --json"),
        ("calibrate", "device calibrate"),
    ],
)
def test_old_names_mean_the_same(old: str, new: str) -> None:
    before, now = vars(parse(old.split())), vars(parse(new.split()))
    assert {**before, "typed": ""} == {**now, "typed": ""}


def test_old_names_are_not_shown(capsys: Capture) -> None:
    assert not set(MOVED) & set(VERBS)
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert [old for old in MOVED if f"\n  {old} " in shown] == []
    assert main(["lock", "--help"]) == 0
    assert "--check" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_can_be_typed(name: str, example: Example) -> None:
    program, *words = shlex.split(example.command.partition(" > ")[0])
    assert program == "ftc"
    assert VERBS[parse(words).verb].command is VERBS[name].command


@pytest.mark.parametrize("name", VERBS)
def test_help_shows_examples_and_fits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VERBS[name].command.examples
    for columns in (60, 80, 100):
        monkeypatch.setattr("ftc.cli.arguments._columns", lambda columns=columns: columns)
        shown = parser_of(name).format_help()
        assert [line for line in shown.splitlines() if len(line) > columns] == []


def test_the_list_of_verbs_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("ftc.cli.arguments._columns", lambda: 60)
    for words in ((), ("--help",), *((group,) for group in GROUPS)):
        main(list(words))
        shown = "".join(capsys.readouterr())
        assert [line for line in shown.splitlines() if len(line) > 60] == []
        assert " ".join(VERBS["plan"].help.split()[:3]) in shown or words not in ((), ("--help",))


def test_the_help_is_one_screen_with_a_line_a_verb(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 43
    for section in SECTIONS.values():
        for one in section:
            assert sum(line.startswith(f"  {one.name} ") for line in lines) == 1


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_lists_its_verbs(name: str, capsys: Capture) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == shown
    for verb in GROUPS[name].verbs:
        assert f"\n  {verb.name.partition(' ')[2]} " in shown
    assert main([name]) == 64
    meant = GROUPS[name].verbs[0].name.partition(" ")[2]
    wrong = f"{meant}{meant[-1]}"
    assert main([name, wrong]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert f"`{name}` has no verb `{wrong}`; did you mean `{meant}`?" in err


def test_an_old_verb_names_the_new_one(capsys: Capture, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["runs"], may_restart=True) == 0
    assert "note: `ftc runs` is now `ftc run list`" in capsys.readouterr().err
    assert main(["run", "list"], may_restart=True) == 0
    assert "note:" not in capsys.readouterr().err


def test_a_format_that_a_verb_has_not(capsys: Capture) -> None:
    assert main(["plan", "--format", "html", "x.yaml"]) == 64
    assert "choose from" in capsys.readouterr().err


def test_verbose_tells_the_time(world: World, capsys: Capture) -> None:
    assert main(["run", "list", "-v"]) == 0
    assert re.search(r"run list took \d+\.\d\d s", capsys.readouterr().err)


def test_json_where_there_was_none(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "init", lambda file, **_: Started(file=str(file), task="chat", is_calibrated=True))
    assert main(["init", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "recipe.yaml"
    assert main(["explain", "FTC104", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["severity"]) == ("FTC104", "error")
    monkeypatch.setattr(api, "unlock", lambda lock: "3f2a")
    assert main(["run", "unlock", "7f3a", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "3f2a"
    Path("r.yaml").write_text("task: {kind: classification}\nname: x\nftc: 1\n", encoding="utf-8")
    assert main(["fmt", "--detailed-exitcode", "r.yaml", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["files"] == [{"file": "r.yaml", "changed": True}]
    assert err == ""


def test_the_harness_fetches_nothing_offline(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    seen: list[tuple[str | None, str | None]] = []

    def evaluate(*_words: object, **_more: object) -> HarnessReport:
        seen.append((os.environ.get("HF_HUB_OFFLINE"), os.environ.get("HF_DATASETS_OFFLINE")))
        return HarnessReport(run="3f2a", lm_eval="0.4", limit=None, metrics=(), versions={})

    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(api, "evaluate_on_harness", evaluate)
    assert main(["run", "eval", "3f2a", "--harness", "arc_easy"]) == 0
    assert main(["run", "eval", "3f2a", "--harness", "arc_easy", "--offline"]) == 0
    assert seen == [("0", "0"), ("1", "1")]


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False), ("off", False)])
def test_a_variable_stands_for_offline(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_OFFLINE", value)
    assert parse(["plan"]).offline is expected
    assert parse(["plan", "--offline"]).offline


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("merged", ["--type", "q8_0"], "writes weights in bf16, f16, f32, int8, float8, int4, and not in q8_0"),
        ("vllm", ["--type", "q8_0"], "and not in q8_0"),
        ("onnx", ["--type", "bf16"], "writes weights in f32, int8_dynamic, and not in bf16"),
        ("merged", ["--converter", "llama.tar.gz"], "which --format merged doesn't use"),
        ("onnx", ["--pre-tokenizer", "gpt-2"], "which --format onnx doesn't use"),
    ],
)
def test_an_option_that_a_models_format_has_no_use_for_is_named(
    name: str, more: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "export", "RUN", "--format", name, "-o", "out", *more]) == 64
    assert words in capsys.readouterr().err
