"""A chat with a finished run's model: what it answers is what the run's evaluation and `predict` said."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftc as package
from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.sampling import Sampling
from ftc.views.chat import InTurn, help_lines, side_by_side
from ftc.views.page import Page, visible_width
from tests.e2e.conftest import Ftc, MakeProject, finished_project, in_a_copy

LINES = ["goal", "film", "bank"]


@pytest.fixture(scope="module")
def finished(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run that answers; its tests work on copies."""

    def longer(root: Path) -> None:
        text = (root / "recipe.yaml").read_text(encoding="utf-8")
        (root / "recipe.yaml").write_text(text.replace("max_length: 32", "max_length: 60"), encoding="utf-8")

    return finished_project(tmp_path_factory.mktemp("chat"), models, 6, prepare=longer, task="chat")


@pytest.fixture
def asked(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> api.Run:
    in_a_copy(finished, tmp_path, monkeypatch)
    (found,) = api.runs()
    return found


def test_a_conversation(asked: api.Run) -> None:
    model, chat = api.load(asked), package.open_chat(asked, max_new_tokens=3)
    parts: list[str] = []
    first = chat.ask(LINES[0], ["tuned"], lambda subject, part: parts.append(part)).texts["tuned"]
    assert "".join(parts) == first == model.generate(LINES[0], max_new_tokens=3)[0]
    turns = [_turn("user", LINES[0]), _turn("assistant", first), _turn("user", LINES[1])]
    second = chat.ask(LINES[1], ["tuned", "base"]).texts
    assert second["tuned"] == model.generate([{"messages": turns}], max_new_tokens=3)[0]
    chat.reset()
    chat.say_system("a film")
    with_system = [_turn("system", "a film"), _turn("user", LINES[0])]
    said = chat.ask(LINES[0], ["tuned"]).texts["tuned"]
    assert said == model.generate([{"messages": with_system}], max_new_tokens=3)[0]
    with pytest.raises(Refusal, match="FTC751"):
        chat.ask("a red goal " * 20, ["tuned"])
    assert chat.turns == 1, "what can't be answered is forgotten"


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.sample(1)
@pytest.mark.parametrize("strategy", ["lora, init: pissa", "full", "ia3", "prompt_tuning"])
def test_the_base_is_what_the_evaluation_measured(project: MakeProject, strategy: str) -> None:
    project("generation", strategy, steps=6, evaluation="samples: 8")
    run = api.apply(Path("recipe.yaml"))
    assert run.evaluation is not None
    chat = api.open_chat(run)
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    for one in run.evaluation.predictions[:3]:
        question = next(row["question"] for row in rows if row["question"] in one.text)
        said = chat.ask(question, ["base", "tuned", "base"]).texts
        assert (said["base"], said["tuned"]) == (one.base, one.tuned)


def test_words_are_drawn_again_by_a_seed(asked: api.Run) -> None:
    chat = api.open_chat(asked, max_new_tokens=8)
    drawn: list[list[str]] = []
    for seed in (1, 1, 2):
        chat.sample(Sampling(temperature=5.0, seed=seed))
        drawn.append([])
        for line in LINES:
            chat.reset()
            drawn[-1].append(chat.ask(line, ["tuned"]).texts["tuned"])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_line_in_an_answer_out(asked: api.Run, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = api.load(asked).generate(LINES[0], max_new_tokens=3)
    words = ("chat", asked.record.id, "--max-new-tokens", "3")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{LINES[0]}\n/reset\n{LINES[0]}\n"))
    answer = ftc(*words)
    assert (answer.code, answer.out) == (0, f"{said}\n{said}\n"), answer.text
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{LINES[0]}\n{'goal ' * 60}\n"))
    answer = ftc(*words, "--both", "--json")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [line["tuned"] for line in lines] == [said, None]
    assert isinstance(lines[0]["base"], str)
    assert (answer.code, "[FTC751]" in answer.err) == (1, True), answer.text
    assert "shorter answers: `--max-new-tokens`" in answer.text
    monkeypatch.setattr("sys.stdin", io.StringIO('{"messages": 3}\n'))
    assert "change the row" in ftc(*words).text, "a shorter text wouldn't help"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_the_terminal(asked: api.Run, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = api.load(asked).generate(LINES[0], max_new_tokens=3)
    screen, typed = _Terminal(), iter([LINES[0], "/both", LINES[0], "/rest", "/reset", "/base", "", "/system a film"])
    monkeypatch.setattr("sys.stdin", _Terminal())
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed, None) or _leave(typed))
    answer = ftc("chat", asked.record.id, "--max-new-tokens", "3", "--color", "never")
    shown = screen.getvalue()
    assert answer.code == 0, answer.text
    assert f"run {asked.record.id} · chat · greedy · answers up to 3 tokens" in shown
    assert f"\n{said}\n" in shown
    assert "No command /rest" in shown
    assert "forgot 2 lines" in shown
    assert "base answers" in shown


def _leave(typed: Iterator[str]) -> str:
    for line in typed:
        return line
    raise EOFError


def test_what_writes_no_text_is_named(project: MakeProject, ftc: Ftc) -> None:
    project(steps=1)
    run = api.apply(Path("recipe.yaml"))
    answer = ftc("chat", run.record.id)
    assert (answer.code, "[FTC750]" in answer.err) == (1, True), answer.text
    assert f"ftc predict {run.record.id}" in answer.err
    assert ftc("chat", run.record.id, "--top-p", "0.5").code == 64


def test_texts_that_are_continued_take_no_system_message(project: MakeProject, ftc: Ftc, monkeypatch: Any) -> None:
    project("pretraining", steps=1)
    run = api.apply(Path("recipe.yaml"))
    assert "[FTC750]" in ftc("chat", run.record.id, "--system", "be kind").err
    monkeypatch.setattr("sys.stdin", io.StringIO("the old goal\n"))
    assert ftc("chat", run.record.id, "--max-new-tokens", "3").code == 0


def test_answers_keep_to_the_width() -> None:
    text = "the quick brown fox jumps over\nthe lazy dog " * 3
    for columns in (60, 100):
        stream = io.StringIO()
        with InTurn(stream, Page(columns=columns), ["tuned", "base"]) as drawing:
            for name in ("tuned", "base"):
                for part in (text[:7], text[7:], "\x1b[2J" + "x" * 150):
                    drawing.say(name, part)
        lines = stream.getvalue().splitlines()
        assert "\x1b" not in stream.getvalue(), "a model doesn't steer the terminal"
        assert lines[0].startswith("tuned  the quick")
        assert sum(line.startswith("base   the quick") for line in lines) == 1
        assert "".join(stream.getvalue().split()).count("jumps") == 6
        beside = side_by_side({"tuned": text, "base": "short"}, Page(columns=columns))
        assert max(map(visible_width, beside)) <= columns


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_the_commands_fit_the_terminal(columns: int) -> None:
    lines = help_lines(Page(False, columns))
    assert [line for line in lines if visible_width(line) > columns] == []
    assert " ".join(" ".join(lines).split()).startswith("/tuned the tuned model answers /base")


@pytest.mark.parametrize("option", [("--top-p", "0.9"), ("--top-k", "5"), ("--seed", "0")])
def test_an_option_of_sampling_needs_a_temperature(ftc: Ftc, option: tuple[str, str]) -> None:
    answer = ftc("chat", "3f2a", *option)
    assert (answer.code, answer.text.startswith(f"error: {option[0]} is for sampling")) == (64, True), answer.text
