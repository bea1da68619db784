"""Values that can't stand together: each rule fires on its own example and stays silent on the corrected one."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.rules.recipe_rules import RULES, check_rules
from ftc.spec.diagnostics import Diagnostic, Severity
from ftc.spec.language.parse import parse_recipe
from tests.support.recipes import read, recipe_text


def found_in(**sections: Any) -> tuple[Diagnostic, ...]:
    source = read(recipe_text(**sections))
    recipe, problems = parse_recipe(source)
    assert recipe is not None, problems
    return check_rules(recipe, source)


def data(**values: Any) -> dict[str, Any]:
    return {"source": {"path": "rows.jsonl"}, **values}


GENERATION = {"kind": "generation", "prompt": "Q: {{ question }}"}
ANSWERING = {"kind": "generation", "prompt": "Answer the question: {{ q | trim }}"}
"""A word of whose prose is no variable."""

_ONE_HOT = {"kind": "classification", "multi_label": True, "label_columns": ["money", "sport"]}
_LOSS = {"loss": "courtesy-metrics:bounded"}
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("FTC201", {"data": data(fields={"txt": "a"})}, {"data": data(fields={"text": "a"})}),
    (
        "FTC201",
        {"task": ANSWERING, "data": {"source": [{"path": "a.jsonl", "fields": {"question": "ask"}}]}},
        {"task": ANSWERING, "data": {"source": [{"path": "a.jsonl", "fields": {"q": "ask"}}]}},
    ),
    *(
        (
            "FTC230",
            {"task": {"kind": "chat"}, "train": {"distillation": {"teacher": "./t", "seq_kd": {}, **unused}}},
            {"task": {"kind": "chat"}, "train": {"distillation": {"teacher": "./t", "seq_kd": {}, **used}}},
        )
        for unused, used in (
            ({"loss": "reverse_kl"}, {"loss": "reverse_kl", "weight": 0.5}),
            ({"temperature": 3}, {"temperature": 3, "weight": 0.5}),
            ({"seq_kd": {"top_k": 5}}, {"seq_kd": {"top_k": 5, "temperature": 0.7}}),
        )
    ),
    ("FTC290", {"train": {"sharding": "ddp"}}, {"train": {"sharding": "ddp"}, "budget": {"devices": 2}}),
    ("FTC290", {"train": {"sharding": "fsdp"}}, {"train": {"sharding": "fsdp"}, "budget": {"devices": "auto"}}),
    (
        "FTC292",
        {"train": {"sharding": "ddp", "batch_size": 1}, "budget": {"devices": "auto"}},
        {"train": {"batch_size": 1}, "budget": {"devices": "auto"}},
    ),
    (
        "FTC290",
        {"train": {"offload": "cpu"}, "budget": {"devices": 2}},
        {"train": {"offload": "cpu", "sharding": "fsdp"}, "budget": {"devices": 2}},
    ),
    (
        "FTC278",
        {"task": {"kind": "classification"}, "train": {"z_loss": 1e-4}},
        {"task": {"kind": "classification", "mode": "generative"}, "train": {"z_loss": 1e-4}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "rows.txt", "reader": "courtesy-metrics:tickets", "delimiter": "|"}}},
        {"data": {"source": {"path": "rows.txt", "reader": "courtesy-metrics:tickets"}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "rows.jsonl", "columns": ["text", "label"]}}},
        {"data": {"source": {"path": "rows.csv", "columns": ["text", "label"]}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "rows.jsonl", "delimiter": ";"}}},
        {"data": {"source": {"path": "rows.csv", "delimiter": ";"}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "rows.csv", "sheet": "May"}}},
        {"data": {"source": {"path": "rows.xlsx", "sheet": "May"}}},
    ),
    (
        "FTC219",
        {"data": {"source": {"path": "rows.csv", "columns": ["text", "text"]}}},
        {"data": {"source": {"path": "rows.csv", "columns": ["text", "label"]}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "rows.jsonl", "decimal": ","}}},
        {"data": {"source": {"path": "rows.tsv", "decimal": ","}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "https://h.org/rows.jsonl.gz?sig=1", "columns": ["text", "label"]}}},
        {"data": {"source": {"path": "https://h.org/rows.csv?sig=1.json", "columns": ["text", "label"]}}},
    ),
    (
        "FTC486",
        {"data": {"source": {"path": "data.v2/*.jsonl", "columns": ["text", "label"]}}},
        {"data": {"source": {"path": "data.v2", "columns": ["text", "label"]}}},
    ),
    (
        "FTC252",
        {"task": _ONE_HOT, "data": data(fields={"text": "body", "label": "topic"})},
        {"task": _ONE_HOT, "data": data(fields={"text": "body"})},
    ),
    (
        "FTC252",
        {"task": {"kind": "regression", "scores": ["tone"]}, "data": data(fields={"score": "stars"})},
        {"task": {"kind": "regression"}, "data": data(fields={"score": "stars"})},
    ),
    ("FTC484", {"task": {"kind": "preference"}, "train": _LOSS}, {"task": {"kind": "chat"}, "train": _LOSS}),
    (
        "FTC484",
        {"task": {"kind": "classification"}, "train": {**_LOSS, "label_smoothing": 0.1}},
        {"task": {"kind": "classification"}, "train": _LOSS},
    ),
    (
        "FTC229",
        {"train": {"average_checkpoints": 3, "ema_decay": 0.99}},
        {"train": {"average_checkpoints": 3}},
    ),
    (
        "FTC229",
        {"train": {"average_checkpoints": 3, "early_stopping": {"patience": 2}}},
        {"train": {"early_stopping": {"patience": 2}}},
    ),
    (
        "FTC278",
        {"task": {"kind": "preference"}, "train": {"z_loss": 1e-4}},
        {"task": {"kind": "chat"}, "train": {"z_loss": 1e-4}},
    ),
    (
        "FTC277",
        {"train": {"ema_decay": 0.99, "optimizer": {"kind": "adamw_schedule_free"}}},
        {"train": {"ema_decay": 0.99}},
    ),
    (
        "FTC291",
        {"train": {"sharding": "fsdp", "optimizer": {"kind": "lion"}}, "budget": {"devices": 2}},
        {"train": {"sharding": "fsdp"}, "budget": {"devices": 2}},
    ),
    (
        "FTC292",
        {"train": {"micro_batch": 16}, "budget": {"devices": 2}},
        {"train": {"micro_batch": 8}, "budget": {"devices": 2}},
    ),
    ("FTC202", {"task": GENERATION, "data": data(fields={"prompt": "question"})}, {"task": GENERATION}),
    (
        "FTC203",
        {"data": data(split={"validation": 0.5, "test": 0.5})},
        {"data": data(split={"validation": 0.4, "test": 0.5})},
    ),
    (
        "FTC204",
        {"data": data(split={"validation": 0}), "train": {"early_stopping": {}}},
        {"train": {"early_stopping": {}}},
    ),
    (
        "FTC205",
        {"train": {"early_stopping": {"metric": "val_los"}}},
        {"train": {"early_stopping": {"metric": "val_accuracy"}}},
    ),
    ("FTC206", {"eval": {"metrics": ["rouge_l"]}}, {"eval": {"metrics": ["mcc"]}}),
    ("FTC207", {"eval": {"gates": {"accuracy": "high"}}}, {"eval": {"gates": {"accuracy": ">= 0.5"}}}),
    ("FTC207", {"eval": {"gates": {"rouge_l": ">= 0.5"}}}, {"eval": {"gates": {"mcc": "> -1"}}}),
    (
        "FTC208",
        {"data": data(split={"test": 0}), "eval": {"gates": {"mcc": "> 0"}}},
        {"eval": {"gates": {"mcc": "> 0"}}},
    ),
    ("FTC209", {"budget": {"cost": "5 USD"}}, {"budget": {"cost": "5 USD", "price_per_hour": "1 USD"}}),
    (
        "FTC209",
        {"budget": {"cost": "5 USD", "price_per_hour": "1 EUR"}},
        {"budget": {"cost": "5 EUR", "price_per_hour": "1 EUR"}},
    ),
    ("FTC210", {"train": {"batch_size": 4, "micro_batch": 8}}, {"train": {"batch_size": 8, "micro_batch": 8}}),
    ("FTC211", {"train": {"learning_rate": 5}}, {"train": {"learning_rate": 1e-4}}),
    (
        "FTC212",
        {"data": data(split={"validation": 0, "test": 0, "stratify": "label"})},
        {"data": data(split={"stratify": "label"})},
    ),
    (
        "FTC213",
        {"strategy": {"kind": "lora", "targets": ["a", "a"]}},
        {"strategy": {"kind": "lora", "targets": ["a", "b"]}},
    ),
    ("FTC214", {"train": {"batch_size": 16, "micro_batch": 6}}, {"train": {"batch_size": 18, "micro_batch": 6}}),
    (
        "FTC215",
        {"train": {"max_steps": 10, "evaluate_every": 11}},
        {"train": {"max_steps": 10, "evaluate_every": 10}},
    ),
    ("FTC216", {"train": {"epochs": 1.5, "early_stopping": {}}}, {"train": {"epochs": 2.5, "early_stopping": {}}}),
    (
        "FTC216",
        {"train": {"max_steps": 20, "evaluate_every": 10, "early_stopping": {}}},
        {"train": {"max_steps": 21, "evaluate_every": 10, "early_stopping": {}}},
    ),
    ("FTC217", {"eval": {"gates": {"accuracy": ">= 95"}}}, {"eval": {"gates": {"accuracy": ">= 1"}}}),
    ("FTC217", {"eval": {"gates": {"accuracy": "> 1"}}}, {"eval": {"gates": {"mcc": "> 0"}}}),
    ("FTC217", {"eval": {"gates": ("accuracy < 0",)}}, {"eval": {"gates": ("accuracy > 0.5",)}}),
    ("FTC217", {"eval": {"gates": {"mcc": ">= -1"}}}, {"eval": {"gates": {"mcc": "> -1"}}}),
    ("FTC217", {"eval": {"gates": {"loss": "< 0"}}}, {"eval": {"gates": {"loss": "<= 7"}}}),
    ("FTC218", {"eval": {"gates": {"loss": "> 7"}}}, {"eval": {"gates": {"loss": "< 7"}}}),
    ("FTC218", {"eval": {"gates": {"accuracy": "< 0.5"}}}, {"eval": {"gates": {"accuracy": "> 0.5"}}}),
    ("FTC219", {"eval": {"metrics": ["mcc", "mcc"]}}, {"eval": {"metrics": ["mcc", "accuracy"]}}),
    (
        "FTC219",
        {"task": {"kind": "classification", "labels": ["a", "b", "a"]}},
        {"task": {"kind": "classification", "labels": ["a", "b"]}},
    ),
    ("FTC231", {"train": {"epochs": 101}}, {"train": {"epochs": 100}}),
    (
        "FTC231",
        {"strategy": {"kind": "lora", "rank": 8, "alpha": 1}},
        {"strategy": {"kind": "lora", "rank": 8, "alpha": 2}},
    ),
    (
        "FTC233",
        {"train": {"schedule": {"kind": "linear", "warmup_ratio": 0.6}}},
        {"train": {"schedule": {"kind": "linear", "warmup_ratio": 0.5}}},
    ),
    (
        "FTC238",
        {"model": {"base": "m", "license": {"allow": ["MIT"]}}},
        {"model": {"base": "m", "license": {"allow": ["mit"]}}},
    ),
]


@pytest.mark.parametrize(("code", "wrong", "right"), CASES)
def test_each_rule(code: str, wrong: dict[str, Any], right: dict[str, Any]) -> None:
    (finding,) = found_in(**wrong)
    assert finding.code == code
    assert finding.span is not None
    assert finding.help
    assert not found_in(**right)


@pytest.mark.parametrize(
    ("word", "metric"), [("f1_macro", "macro_f1"), ("eval_matthews_correlation", "mcc"), ("acuracy", "accuracy")]
)
def test_another_tools_word_for_a_metric_is_understood(word: str, metric: str) -> None:
    (finding,) = found_in(eval={"metrics": [word]})
    assert (finding.code, finding.label) == ("FTC206", f"did you mean `{metric}`?")


def test_an_unusual_rate_is_a_warning() -> None:
    (finding,) = found_in(train={"learning_rate": 5})
    assert finding.severity is Severity.WARNING


def test_every_rule_has_a_docstring_and_runs() -> None:
    assert all(rule.__doc__ for rule in RULES)
    several = found_in(train={"learning_rate": 5, "micro_batch": 99}, budget={"cost": "1 USD"})
    assert [finding.code for finding in several] == ["FTC210", "FTC211", "FTC209"]
