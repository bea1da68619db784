"""Base models of the catalog, planned for a recipe: the planner's own verdict, filters, and nothing fetched."""

from __future__ import annotations

import json

import pytest

from ftc.spec.base_models import BASE_MODELS
from tests.e2e.conftest import Ftc, MakeProject

SOME = ("google-bert/bert-base-uncased", "Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four models; planning all of them takes seconds."""
    chosen = tuple(one for one in BASE_MODELS if one.name in SOME)
    monkeypatch.setattr("ftc.compiler.other_bases.BASE_MODELS", chosen)


def test_what_fits_comes_first_and_the_largest_on_top(project: MakeProject, ftc: Ftc) -> None:
    project()
    answer = ftc("models", "--device", "rtx-4090", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["device"] == "rtx-4090"
    assert [one["name"] for one in found["models"]] == [SOME[2], SOME[1], SOME[0], SOME[3]]
    assert [one["fits"] for one in found["models"]] == [True, True, True, False]
    assert "GiB" in found["models"][3]["problem"]
    memory = [one["memory_bytes"] for one in found["models"]]
    assert memory[3] > memory[0] > memory[1] > memory[2] > 0
    assert memory[0] > 8_030_261_248 * 2 * 0.9, "weights in bfloat16 alone"


def test_a_task_that_writes_answers_is_for_decoders(project: MakeProject, ftc: Ftc) -> None:
    project("generation")
    found = json.loads(ftc("models", "--device", "rtx-4090", "--json").out)
    assert SOME[0] not in [one["name"] for one in found["models"]]
    refused = ftc("models", "--task", "chat")
    assert (refused.code, "FTC201" in refused.text) == (3, True), "these rows are no conversations"


def test_filters_and_order(project: MakeProject, ftc: Ftc) -> None:
    project()
    text = ftc("models", "--device", "rtx-4090", "--license", "apache-2.0", "--ungated", "--sort", "memory").out
    assert text.index(SOME[0]) < text.index(SOME[1])
    assert "meta-llama" not in text
    assert "2 of 2 models fit" in text
    german = json.loads(ftc("models", "--device", "rtx-4090", "--language", "de", "--fits", "--json").out)
    assert [one["name"] for one in german["models"]] == [SOME[2], SOME[1]]


def test_a_limit_of_time_counts(project: MakeProject, ftc: Ftc) -> None:
    project()
    found = json.loads(ftc("models", "--device", "rtx-4090", "--time", "1s", "--json").out)
    assert not any(one["fits"] for one in found["models"])


def test_what_is_unknown_is_shown_so_and_no_filter_takes_it(
    project: MakeProject, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("mistralai/Mistral-7B-v0.1", "distilbert/distilbert-base-cased")
    chosen = tuple(one for one in BASE_MODELS if one.name in names)
    monkeypatch.setattr("ftc.compiler.other_bases.BASE_MODELS", chosen)
    project()
    text = ftc("models", "--device", "rtx-4090", "--sort", "released").text
    assert "gating unknown" in text
    assert "release unknown" in text
    assert text.index(names[0]) < text.index(names[1]), "an unknown date comes last"
    found = json.loads(ftc("models", "--device", "rtx-4090", "--ungated", "--json").out)
    assert [one["name"] for one in found["models"]] == [names[1]]


@pytest.mark.parametrize(("flag", "value"), [("--license", "apache"), ("--language", "german")])
def test_what_no_model_has_is_a_mistake(project: MakeProject, ftc: Ftc, flag: str, value: str) -> None:
    project()
    answer = ftc("models", "--device", "rtx-4090", flag, value)
    assert answer.code == 64
    assert f"`{value}`; there are" in answer.text
    assert json.loads(ftc("models", "--device", "rtx-4090", "--language", "DE", "--json").out)["models"]
