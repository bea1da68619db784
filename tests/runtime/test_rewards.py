"""What rewards give answers, how they become advantages, and what the loss makes of these."""

from __future__ import annotations

import json
import math
from importlib import util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.rules import sampling_rules
from ftc.runtime.rewards import VALUES, reward_values, total_reward
from ftc.runtime.rewards.advantages import advantages, token_weights
from ftc.runtime.training.findings import training_findings
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import SampledStep
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES, reinforcement_loss
from ftc.spec.rewards import REWARDS, RewardTerm, is_correct

_SCHEMA = json.dumps({"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}})


def _value(answer: str, reference: str = "", **keys: Any) -> float:
    return reward_values([RewardTerm(**keys)], answer, reference)[0]


def test_every_card_has_a_function() -> None:
    assert list(VALUES) == [card.kind for card in REWARDS if not card.recorded]


@pytest.mark.parametrize(
    ("answer", "reference", "keys", "expected"),
    [
        (" Paris\n", "Paris", {"kind": "exact_match"}, 1),
        ("paris", "Paris", {"kind": "exact_match"}, 0),
        ("paris", "Paris", {"kind": "exact_match", "ignore_case": True}, 1),
        ("I say <answer>no</answer> <answer> Paris </answer>", "Paris", {"kind": "exact_match"}, 0),
        (
            "I say <answer>no</answer> <answer> Paris </answer>",
            "Paris",
            {"kind": "exact_match", "extract": "<answer>(.*?)</answer>"},
            1,
        ),
        ("Paris", "Paris", {"kind": "exact_match", "extract": "<answer>(.*?)</answer>"}, 0),
        ("so 3 + 4 = 7.", "#### 7", {"kind": "numeric_match"}, 1),
        ("so 3 + 4 = 7, or 8", "7", {"kind": "numeric_match"}, 0),
        ("$1,234.50", "1234.5", {"kind": "numeric_match"}, 1),
        ("-2", "2", {"kind": "numeric_match"}, 0),
        ("3.14", "3.14159", {"kind": "numeric_match"}, 0),
        ("3.14", "3.14159", {"kind": "numeric_match", "tolerance": 0.01}, 1),
        ("none", "7", {"kind": "numeric_match"}, 0),
        ("9" * 400, "9" * 400, {"kind": "numeric_match"}, 0),
        ("a\nb", "", {"kind": "regex", "pattern": "^a.b$"}, 1),
        ("ab", "", {"kind": "regex", "pattern": "^b"}, 0),
        ('{"name": "Ada", "age": 36}', "", {"kind": "json_schema", "json_schema": _SCHEMA}, 1),
        ('{"name": "Ada", "age": "old"}', "", {"kind": "json_schema", "json_schema": _SCHEMA}, 0),
        ('{"name": "Ada"', "", {"kind": "json_schema", "json_schema": _SCHEMA}, 0),
        ("", "", {"kind": "json_schema", "json_schema": _SCHEMA}, 0),
        ('```json\n{"name": 1}\n```', "", {"kind": "json_schema", "json_schema": "{}", "extract": "json(.*?)```"}, 1),
        ("NaN", "", {"kind": "json_schema", "json_schema": "{}"}, 0),
        ('"aa"', "", {"kind": "json_schema", "json_schema": '{"pattern": "^a+$"}'}, 1),
        ('"a\\nb"', "", {"kind": "json_schema", "json_schema": '{"pattern": "a.b"}'}, 0),
        ("[" * 600 + "]" * 600, "", {"kind": "json_schema", "json_schema": '{"items": {"$ref": "#"}}'}, 0),
        ("<think>a</think>\n<answer>b</answer>", "", {"kind": "format"}, 1),
        ("<think>a</think> and <answer>b</answer>", "", {"kind": "format"}, 0),
        ("<think>a</think><answer>b</answer> c", "", {"kind": "format"}, 0),
        ("<think>a<think></think><answer>b</answer>", "", {"kind": "format"}, 0),
        ("<answer>b</answer><think>a</think>", "", {"kind": "format"}, 0),
        ("<sql>b</sql>", "", {"kind": "format", "tags": ("sql",)}, 1),
        ("", "", {"kind": "length", "max_characters": 3}, 0),
        ("abc", "", {"kind": "length", "max_characters": 3}, 1),
        ("abcd", "", {"kind": "length", "max_characters": 3}, 0),
    ],
)
def test_what_an_answer_earns(answer: str, reference: str, keys: dict[str, Any], expected: float) -> None:
    if keys["kind"] == "json_schema":
        pytest.importorskip("jsonschema")
    if {"pattern", "extract"} & keys.keys():
        pytest.importorskip("regex")
    assert _value(answer, reference, **keys) == expected


def test_a_schema_fetches_nothing() -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(Refusal, match="Unresolvable"):
        _value("{}", kind="json_schema", json_schema='{"$ref": "http://127.0.0.1:9/schema.json"}')


def test_rewards_are_weighted_and_those_that_verify_decide() -> None:
    rewards = [RewardTerm(kind="exact_match"), RewardTerm(kind="length", max_characters=3, weight=0.5)]
    assert total_reward(rewards, (1.0, 0.0)) == 1
    assert total_reward(rewards, (0.0, 1.0)) == 0.5
    assert is_correct(rewards, (1.0, 0.0))
    assert not is_correct(rewards, (0.0, 1.0))
    assert not is_correct(rewards[1:], (0.0,)), "where nothing verifies an answer, its form decides"


def test_a_pattern_that_takes_too_long_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("regex")
    monkeypatch.setattr("ftc.runtime.rewards._SECONDS", 0.05)
    with pytest.raises(Refusal) as refusal:
        _value("a" * 40 + "b", kind="regex", pattern="^(a|aa|a?)+$")
    assert refusal.value.diagnostics[0].code == "FTC444"


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    reward = RewardTerm(kind="json_schema", json_schema="{}")
    source = SimpleNamespace(span=lambda path: None)
    draft: Any = SimpleNamespace(
        recipe=SimpleNamespace(task=SimpleNamespace(sampling=SimpleNamespace(rewards=(reward,)))),
        device=SimpleNamespace(local=True),
        source=source,
    )
    monkeypatch.setattr(sampling_rules, "find_spec", lambda name: None)
    (found,) = sampling_rules.reward_packages_are_here(draft)
    assert found.code == "FTC449"
    assert "ftc[rewards]" in found.help[0]
    monkeypatch.setattr(sampling_rules, "find_spec", lambda name: util.find_spec("json"))
    assert not list(sampling_rules.reward_packages_are_here(draft))


_BAD_SCHEMAS = (
    '{"type": "objct"}',
    '{"type": 5}',
    '{"pattern": "("}',
    '{"multipleOf": 0}',
    '{"$schema": 5}',
    '{"$ref": "http://example.org/other"}',
)


@pytest.mark.parametrize("schema", [*_BAD_SCHEMAS, '{"$ref": "#"}'])
def test_a_schema_that_is_none_is_told_by_the_plan(schema: str) -> None:
    pytest.importorskip("jsonschema")
    reward = RewardTerm(kind="json_schema", json_schema=schema)
    draft: Any = SimpleNamespace(
        recipe=SimpleNamespace(task=SimpleNamespace(sampling=SimpleNamespace(rewards=[reward]))),
        source=SimpleNamespace(span=lambda path: None),
    )
    (found,) = sampling_rules.schemas_are_valid(draft)
    assert (found.code, found.path) == ("FTC442", "task.rewards[0].json_schema")


@pytest.mark.parametrize("schema", _BAD_SCHEMAS)
def test_a_schema_that_is_none_ends_a_run_with_a_reason(schema: str) -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(Refusal, match="FTC444"):
        _value("{}", kind="json_schema", json_schema=schema)


def test_a_pattern_of_a_schema_that_takes_too_long_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jsonschema")
    pytest.importorskip("regex")
    monkeypatch.setattr("ftc.runtime.rewards._SECONDS", 0.05)
    with pytest.raises(Refusal, match="FTC444"):
        _value(json.dumps("a" * 60 + "b"), kind="json_schema", json_schema='{"pattern": "^(a|a)*$"}')


def test_a_pattern_that_the_search_reads_otherwise_ends_the_run() -> None:
    pytest.importorskip("regex")
    with pytest.raises(Refusal, match="FTC444"):
        _value("a", kind="regex", pattern="a{s<=}")


_GROUP = [1.0, 0.0, 0.5, 0.0]


def test_advantages_are_those_of_the_papers() -> None:
    mean, spread = np.mean(_GROUP), np.std(_GROUP, ddof=1)
    for kind in ("grpo", "dapo"):
        np.testing.assert_allclose(
            advantages(reinforcement_loss(kind), _GROUP), (np.array(_GROUP) - mean) / (spread + 1e-4), rtol=1e-12
        )
    np.testing.assert_allclose(advantages(reinforcement_loss("dr_grpo"), _GROUP), np.array(_GROUP) - mean, rtol=1e-12)
    left_out = [np.mean(_GROUP[:i] + _GROUP[i + 1 :]) for i in range(4)]
    np.testing.assert_allclose(advantages(reinforcement_loss("rloo"), _GROUP), np.array(_GROUP) - left_out, rtol=1e-12)


@pytest.mark.parametrize("card", REINFORCEMENT_LOSSES, ids=lambda card: card.kind)
def test_a_group_without_a_difference_teaches_nothing(card: Any) -> None:
    assert advantages(card, [0.7] * 5) == pytest.approx([0.0] * 5, abs=1e-12)


def test_weights_make_a_mean_over_tokens_the_papers_sum() -> None:
    lengths, longest = [2, 5, 1], 8
    terms = [[0.3, -1.0], [2.0, 0.1, 0.4, -0.2, 1.5], [0.9]]
    wanted = {
        "grpo": np.mean([np.mean(one) for one in terms]),
        "dr_grpo": sum(map(sum, terms)) / (len(terms) * longest),
        "dapo": sum(map(sum, terms)) / sum(lengths),
        "rloo": np.mean([sum(one) for one in terms]),
    }
    for kind, expected in wanted.items():
        weights = token_weights(reinforcement_loss(kind), lengths, longest)
        found = sum(weight * sum(one) for weight, one in zip(weights, terms, strict=True)) / sum(lengths)
        assert math.isclose(found, expected, rel_tol=1e-12), kind


def _step(reward: float, even: float) -> Any:
    sampled = SampledStep(
        answers=8, reward=reward, correct=reward, length=3.0, ended=1.0, even_groups=even, seconds=0.1
    )
    return SimpleNamespace(sampled=sampled, grad_norm=0.1, loss=0.0, is_skipped=False)


def test_what_rewards_say_of_a_training_that_is_over() -> None:
    train: Any = SimpleNamespace(
        sampling=True, max_grad_norm=1.0, select_metric="val_mean_reward", select_higher=True, num_steps=20
    )

    def codes(rewards: list[float], even: float) -> list[str]:
        steps = [_step(one, even) for one in rewards]
        return [one.code for one in training_findings(train, steps, [], stopped_early=False)]

    rising = [number / 20 for number in range(20)]
    assert codes(rising, 0.1) == []
    assert codes([0.3] * 20, 0.1) == ["FTC450"]
    assert codes(rising[::-1], 0.9) == ["FTC450", "FTC451"]
    assert codes([0.3] * 5, 0.9) == [], "too few steps to say anything"
