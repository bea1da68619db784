"""Rules over facts: each finds what it is for, and nothing in the neighboring case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.memory.host_memory import host_bytes
from ftc.compiler.passes.check_facts import FACT_RULES
from ftc.compiler.rules import device_rules
from ftc.spec.accelerators import accelerator_named
from ftc.spec.diagnostics import Severity
from ftc.spec.documents.facts import TeacherFacts
from ftc.spec.quantized_files import DEQUANTIZING_BYTES, QuantizedMethod
from tests.support.drafts import CARD, decided, draft_of, model_facts

GENERATION = {"kind": "generation", "prompt": "Q: {{ question }}"}

LATENT = model_facts(
    model_type="deepseek_v2",
    linear_modules={f"model.layers.{n}.self_attn.{name}": (64, 64) for n in (0, 1) for name in ("kv_b_proj", "q_proj")},
)
"""A model whose attention caches latents, from which `kv_b_proj` makes keys and values."""


def found(**job: Any) -> list[tuple[str, Severity]]:
    draft = decided(draft_of(**job))
    return [(finding.code, finding.severity) for finding in draft.diagnostics]


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "FTC230",
        {"model": {"base": "m", "revision": "main"}},
        {"model": {"base": "m", "revision": "main"}, "facts": model_facts(source="hub", commit="0" * 40)},
    ),
    ("FTC230", {"eval": {"max_new_tokens": 64}}, {"task": GENERATION, "eval": {"max_new_tokens": 64}}),
    (
        "FTC230",
        {"data": {"source": {"path": "r.csv"}, "max_rows": 101}},
        {"data": {"source": {"path": "r.csv"}, "max_rows": 100}},
    ),
    (
        "FTC274",
        {"facts": LATENT, "task": GENERATION, "strategy": {"kind": "prefix_tuning"}},
        {"facts": LATENT, "task": GENERATION, "strategy": {"kind": "prompt_tuning"}},
    ),
    (
        "FTC274",
        {"facts": LATENT, "task": GENERATION, "strategy": {"kind": "oft"}},
        {"facts": LATENT, "task": GENERATION, "strategy": {"kind": "oft", "targets": ["q_proj"]}},
    ),
    ("FTC232", {"strategy": {"kind": "lora", "rank": 64}}, {"strategy": {"kind": "lora", "rank": 63}}),
    ("FTC234", {"train": {"batch_size": 101}}, {"train": {"batch_size": 100}}),
    (
        "FTC234",
        {"task": {"kind": "reinforcement", "group_size": 4}, "train": {"batch_size": 404}},
        {"task": {"kind": "reinforcement", "group_size": 4}, "train": {"batch_size": 400}},
    ),
    (
        "FTC233",
        {"train": {"epochs": 1, "batch_size": 10, "schedule": {"warmup_steps": 6}}},
        {"train": {"epochs": 1, "batch_size": 10, "schedule": {"warmup_steps": 5}}},
    ),
    (
        "FTC215",
        {"train": {"epochs": 1, "batch_size": 10, "evaluate_every": 11}},
        {"train": {"epochs": 1, "batch_size": 10, "evaluate_every": 10}},
    ),
    (
        "FTC216",
        {"train": {"epochs": 1, "batch_size": 10, "evaluate_every": 5, "early_stopping": {}}},
        {"train": {"epochs": 1, "batch_size": 10, "evaluate_every": 4, "early_stopping": {}}},
    ),
    (
        "FTC235",
        {"model": {"base": "m", "attention": "flash_attention_2"}, "train": {"precision": "float32"}, "device": CARD},
        {"model": {"base": "m", "attention": "flash_attention_2"}, "device": CARD},
    ),
    ("FTC236", {"budget": {"vram": "27GiB"}, "device": CARD}, {"budget": {"vram": "26GiB"}, "device": CARD}),
    ("FTC237", {"eval": {"gates": {"accuracy": ">= 0.95"}}}, {"eval": {"gates": {"accuracy": ">= 0.9"}}}),
    (
        "FTC237",
        {"task": {"kind": "preference"}, "eval": {"gates": {"preference_accuracy": ">= 0.95"}}},
        {
            "task": {"kind": "preference"},
            "eval": {"gates": {"preference_accuracy": ">= 0.9", "reward_margin": "> 0.95"}},
        },
    ),
    (
        "FTC237",
        {"task": GENERATION, "eval": {"gates": {"valid_json": ">= 0.95"}}},
        {"task": GENERATION, "eval": {"gates": {"valid_json": ">= 0.9", "rouge_l": ">= 0.95"}}},
    ),
    (
        "FTC239",
        {"task": GENERATION, "eval": {"max_new_tokens": 19}},
        {"task": GENERATION, "eval": {"max_new_tokens": 20}},
    ),
]


@pytest.mark.parametrize(("code", "wrong", "right"), CASES)
def test_each_rule(code: str, wrong: dict[str, Any], right: dict[str, Any]) -> None:
    assert [one for one, _ in found(**wrong)] == [code]
    assert found(**right) == []


def test_a_budget_beyond_the_device_is_an_error_where_the_run_needs_it() -> None:
    small = CARD.model_copy(update={"memory_bytes": 2**20})
    assert ("FTC236", Severity.ERROR) in found(budget={"vram": "1GiB"}, device=small)
    assert found(budget={"vram": "80GiB"}, device=CARD) == [("FTC236", Severity.WARNING)]


def test_more_cards_than_there_are() -> None:
    here = CARD.model_copy(update={"local": True, "count": 2})
    assert ("FTC293", Severity.WARNING) in found(budget={"devices": 4}, device=here)
    assert found(budget={"devices": 2}, device=here) == []
    assert found(budget={"devices": 4}, device=CARD) == [], "nobody knows how many another machine has"


def test_a_cpu_is_taken_beside_an_accelerator_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_rules, "other_accelerators", lambda: [accelerator_named("rocm")])
    assert found(budget={"device": "auto"}) == [("FTC611", Severity.WARNING)]
    assert found(budget={"device": "cpu"}) == [], "it is meant"
    assert found(budget={"device": "auto"}, device=CARD) == [], "another card trains"


def test_a_divided_model_has_to_fit_on_the_host() -> None:
    parts = {"train": {"sharding": "fsdp"}, "budget": {"devices": 2}}
    small, large = (CARD.model_copy(update={"host_bytes": size}) for size in (1, 2**40))
    assert ("FTC294", Severity.ERROR) in found(**parts, device=small)
    assert found(**parts, device=large) == []
    assert found(budget={"devices": 2}, train={"sharding": "ddp"}, device=small) == []


def test_the_host_holds_one_model_whatever_shares_it() -> None:
    def size(devices: int, **train: Any) -> int:
        shared: dict[str, Any] = {"train": {"sharding": "fsdp", **train}, "budget": {"devices": devices}}
        return host_bytes(decided(draft_of(device=CARD, strategy={"kind": "full"}, **shared)))

    assert size(2) == size(8) == 4 * model_facts().num_parameters
    assert size(2, offload="cpu") == size(8, offload="cpu") == pytest.approx(4 * size(2), rel=0.01), "two moments, too"


def test_each_process_reads_a_teacher_on_the_host() -> None:
    def size(quantized: QuantizedMethod | None, **lesson: Any) -> int:
        shared: dict[str, Any] = {"sharding": "fsdp", "distillation": {"teacher": "large", **lesson}}
        draft = draft_of(device=CARD, train=shared, budget={"devices": 4})
        model = model_facts().model_copy(update={"quantized_files": quantized})
        facts = TeacherFacts(model=model, labels=(), problem=None, other_tokens=None)
        return host_bytes(decided(replace(draft, teacher=facts)))

    whole, widest = 2 * model_facts().num_parameters, max(i * o for i, o in model_facts().linear_modules.values())
    assert size(None, precision="bfloat16") == 4 * whole
    assert size("fp8", precision="bfloat16") == 4 * (whole + DEQUANTIZING_BYTES * widest)
    assert size(None, quantization="nf4") < size(None, precision="bfloat16"), "which packs one layer after the other"


def test_each_of_several_machines_holds_its_own_parts_on_the_host() -> None:
    """What is kept there between uses is a machine's share of one model under fsdp, and all of one under hsdp."""

    def planned(nodes: int, sharding: str, host: int | None = None) -> Any:
        train = {"sharding": sharding, "offload": "cpu"}
        device = CARD.model_copy(update={"host_bytes": host})
        budget = {"devices": 4, "nodes": nodes}
        return decided(draft_of(device=device, strategy={"kind": "full"}, train=train, budget=budget))

    one, two, copies = planned(1, "fsdp"), planned(2, "fsdp"), planned(2, "hsdp")
    assert host_bytes(one) == host_bytes(copies) == 2 * host_bytes(two)
    assert host_bytes(planned(16, "fsdp")) == 4 * model_facts().num_parameters, "the first machine reads the model"
    (unknown,) = (line for line in two.not_checked if line.startswith("host RAM"))
    assert "each of 2 machines" in unknown
    assert f"{host_bytes(two) / 2**30:.2f} GiB" in unknown
    there = host_bytes(two)
    codes = [{found.code for found in planned(2, "fsdp", size).diagnostics} for size in (there, there - 1)]
    assert ["FTC294" in found for found in codes] == [False, True]


def test_a_default_rank_is_nobodys_slip() -> None:
    assert found(facts=model_facts(hidden=16)) == []


def test_every_rule_says_what_it_holds() -> None:
    assert all(rule.__doc__ for rule in FACT_RULES)


@pytest.mark.parametrize(
    ("prompt", "answer", "helps"),
    [
        (100, 412, None),
        (100, 500, ["write `max_new_tokens: 412`", "or shorten the prompts with `data: {max_length: 12}`"]),
        (100, 4096, ["write `max_new_tokens: 412`"]),
        (512, 128, ["shorten the prompts with `data: {max_length: 384}`"]),
        (512, 4096, ["write `max_new_tokens: 256` and `data: {max_length: 256}`"]),
    ],
)
def test_what_makes_prompt_and_answer_fit_is_named(prompt: int, answer: int, helps: list[str] | None) -> None:
    """Of 512 positions."""
    draft = draft_of(task={"kind": "reinforcement", "max_new_tokens": answer})
    train = draft.splits["train"].model_copy(update={"length_max": prompt})
    draft = decided(replace(draft, splits={**draft.splits, "train": train}))
    told = [list(one.help) for one in draft.diagnostics if one.code == "FTC448"]
    assert told == ([] if helps is None else [helps])
