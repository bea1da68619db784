"""Every sharding has all that its users meet: a plan, docs, names elsewhere, a checkpoint for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc.compiler.rules.train_rules import unsharded
from ftc.spec.devices import CARDS
from ftc.spec.knobs import KNOBS
from ftc.spec.shardings import SHARDINGS, UNDIVIDED, Group, ShardingCard, group_size, sharding_card
from tests.compiler.importers.examples import AXOLOTL, FACTORY, TUNE, import_text, recipe_values
from tests.support.drafts import CARD, decided, draft_of, model_facts

DOCS = Path(__file__).parents[1] / "docs"
_ROWS = "dataset: {_component_: torchtune.datasets.alpaca_dataset}\n"
_MESH = "data_parallel_replicate_dim: 2\ndata_parallel_shard_dim: 8\n"
SHARED = [card for card in SHARDINGS if card.exchanges]


@pytest.mark.parametrize("card", SHARED, ids=lambda card: card.kind)
def test_a_sharding_has_a_plan_and_docs(card: ShardingCard) -> None:
    device = CARD.model_copy(update={"capability": (9, 0), "speed": CARDS["h100-80gb"].speed, "local": False})
    draft = decided(
        draft_of(
            facts=model_facts(hidden=2048, layers=4),
            device=device,
            strategy={"kind": "full"},
            train={"sharding": card.kind, "batch_size": 16},
            budget={"nodes": 2, "devices": 4, "link": "400 Gbit/s"},
        )
    )
    assert draft.memory is not None
    assert draft.time is not None
    train = draft.settings().train
    assert (train.sharding, train.is_divided, train.parts) == (card.kind, card.is_divided, card.parts(8, 2))
    assert f"`{card.kind}`" in (DOCS / "recipe.md").read_text(encoding="utf-8")


def test_those_that_hold_less_come_later() -> None:
    parts = [card.parts(16, 2) for card in SHARED]
    assert sorted(parts) == parts
    groups: set[Group] = {sent.group for card in SHARED for sent in card.exchanges}
    assert {group: group_size(group, 16, 2) for group in groups} == {"run": 16, "machine": 8, "machines": 2}


def test_one_sharding_goes_with_everything() -> None:
    draft = draft_of(strategy={"kind": "qlora"})
    assert any(unsharded(draft.recipe))
    assert not UNDIVIDED.is_divided
    assert UNDIVIDED.lacks_partners(2, 1) is None


def test_a_run_may_go_on_under_another_sharding() -> None:
    assert next(knob for knob in KNOBS if knob.name == "sharding").follows_device


@pytest.mark.parametrize(
    "text",
    [
        f"{AXOLOTL}gradient_accumulation_steps: 3\ndp_replicate_size: 2\ndp_shard_size: 8\n",
        f"{TUNE}{_ROWS}batch_size: 2\ngradient_accumulation_steps: 3\n{_MESH}",
    ],
)
def test_sizes_of_a_mesh_are_imported(text: str) -> None:
    values = recipe_values(import_text(text))
    assert sharding_card(values["train.sharding"]).parts(16, 2) == 8
    assert (values["budget.nodes"], values["budget.devices"], values["train.batch_size"]) == (2, 8, 2 * 3 * 16)


def test_copies_on_one_device_each_are_divided_among_nobody() -> None:
    imported = import_text(f"{AXOLOTL}dp_replicate_size: 2\ndp_shard_size: 1\n")
    assert "train.sharding" not in recipe_values(imported)
    assert not [fate for fate in imported.keys if "unknown number of devices" in fate.reason]


@pytest.mark.parametrize(
    "text",
    [
        f"{AXOLOTL}fsdp_config: {{fsdp_sharding_strategy: HYBRID_SHARD}}\n",
        f"{FACTORY}fsdp: hybrid_shard auto_wrap\n",
        f"{AXOLOTL}dp_replicate_size: 2\n",
    ],
)
def test_copies_on_an_unknown_number_of_machines_are_named(text: str) -> None:
    imported = import_text(text)
    assert "train.sharding" not in recipe_values(imported)
    (told,) = [fate for fate in imported.keys if "copies of the model" in fate.reason]
    assert "budget.nodes" in told.help


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (f"{AXOLOTL}tensor_parallel_size: 2\n", True),
        (f"{AXOLOTL}tensor_parallel_size: 1\n", False),
        (f"{TUNE}{_ROWS}tensor_parallel_dim: 4\n", True),
        (f"{FACTORY}tensor_model_parallel_size: 2\n", True),
    ],
)
def test_layers_that_are_divided_elsewhere_are_named(text: str, is_told: bool) -> None:
    told = [fate for fate in import_text(text).keys if "train.tensor_parallel" in fate.help]
    assert len(told) == is_told


def test_experts_on_devices_of_their_own_are_named() -> None:
    (told,) = [
        fate for fate in import_text(f"{AXOLOTL}expert_parallel_size: 2\n").keys if "layers of its own" in fate.reason
    ]
    assert "sharding: fsdp" in told.help


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (f"{AXOLOTL}context_parallel_size: 4\n", True),
        (f"{AXOLOTL}context_parallel_size: 1\n", False),
        (f"{TUNE}{_ROWS}context_parallel_dim: 2\n", True),
        (f"{FACTORY}context_parallel_size: 2\n", True),
    ],
)
def test_rows_that_are_shared_elsewhere_are_named(text: str, is_told: bool) -> None:
    told = [fate for fate in import_text(text).keys if "train.context_parallel" in fate.help]
    assert len(told) == is_told
