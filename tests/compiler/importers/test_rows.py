"""What tasks, rows and packing of other tools become."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.rules.check import check_recipe
from ftc.spec.documents.imported import Fate
from tests.compiler.importers.examples import AXOLOTL, FACTORY, MIXED, OUMI, TRL, TUNE, import_text, recipe_values

WEIGHED = """model_name_or_path: acme/brook
dataset_mixture:
  datasets:
    - {id: acme/a, weight: 0.9, columns: [messages]}
    - {id: acme/b, weight: 0.1, columns: [messages]}
"""
PROPORTIONS = """model: {model_name: acme/brook}
training: {trainer_type: TRL_DPO}
data:
  train:
    mixture_strategy: all_exhausted
    datasets: [{dataset_name: a/b, mixture_proportion: 0.7}, {dataset_name: c/d, mixture_proportion: 0.3}]
"""
REST = {"hub": "c/d", "weight": "0.3"}
PAIRS = """base_model: acme/brook
rl: dpo
rl_beta: 0.3
datasets:
  - {path: pairs.jsonl, type: {field_prompt: ask, field_chosen: good, field_rejected: bad}}
"""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            AXOLOTL + "sample_packing: true\ngroup_by_length: true",
            {"train.packing": True, "train.batching": "length_grouped"},
        ),
        (AXOLOTL + "adapter: lora\nload_in_8bit: true", {"strategy.kind": "qlora", "strategy.quantization": "int8"}),
        (TRL + "beta: 1\nuse_peft: true\nload_in_8bit: true", {"strategy.quantization": "int8"}),
        (FACTORY + "finetuning_type: lora\nquantization_bit: 8", {"strategy.quantization": "int8"}),
        (AXOLOTL.replace("alpaca", "completion"), {"task.kind": "pretraining", "data.fields": None}),
        (AXOLOTL.replace("alpaca", "sharegpt"), {"task.kind": "chat", "data.fields": {"messages": "conversations"}}),
        (AXOLOTL.replace("tickets.jsonl", "acme/tickets"), {"data.source": {"hub": "acme/tickets"}}),
        (
            MIXED,
            {"data.source": [{"hub": "acme/tickets"}, {"path": "c.jsonl"}], "data.fields": {"completion": "output"}},
        ),
        (
            PAIRS,
            {
                "task": {"kind": "preference", "beta": "0.3"},
                "data.fields": {"prompt": "ask", "chosen": "good", "rejected": "bad"},
            },
        ),
        (FACTORY.replace("tickets_registered", "with_turns"), {"data.fields": {"messages": "conversations"}}),
        (FACTORY.replace("tickets_registered", "on_the_hub"), {"data.source": {"hub": "acme/tickets"}}),
        (
            FACTORY.replace("sft", "dpo").replace("tickets_registered", "ranked") + "pref_beta: 0.2",
            {"task": {"kind": "preference", "beta": "0.2"}, "data.fields": {"prompt": "instruction"}},
        ),
        (
            FACTORY.replace("sft", "dpo").replace("tickets_registered", "ranked")
            + "pref_loss: simpo\nsimpo_gamma: 0.7",
            {"task": {"kind": "preference", "loss": "simpo", "gamma": "0.7"}},
        ),
        (
            PAIRS.replace("rl: dpo", "rl: orpo\norpo_alpha: 0.2"),
            {"task": {"kind": "preference", "loss": "orpo", "beta": "0.2"}},
        ),
        (PAIRS.replace("rl: dpo", "rl: ipo"), {"task": {"kind": "preference", "loss": "ipo", "beta": "0.3"}}),
        (
            PAIRS.replace("rl: dpo", "rl: dpo\nrpo_alpha: 0.5\ndpo_loss_type: hinge"),
            {"task": {"kind": "preference", "loss": "hinge", "beta": "0.3", "sft_weight": "0.5"}},
        ),
        (
            TRL + "beta: 0.1\nloss_type: robust\nlabel_smoothing: 0.2",
            {"task": {"kind": "preference", "loss": "robust_dpo", "label_smoothing": "0.2"}},
        ),
        (
            AXOLOTL.replace("alpaca", "chat_template, message_field_training: weight, roles_to_train: [user, tool]"),
            {"task": {"kind": "chat", "train_on": ["user", "tool"]}},
        ),
        (AXOLOTL.replace("alpaca", "chat_template, roles_to_train: [assistant]"), {"task": {"kind": "chat"}}),
        (AXOLOTL.replace("alpaca", "sharegpt") + "train_on_inputs: true\n", {"task.train_on": "all"}),
        (FACTORY.replace("tickets_registered", "with_turns") + "mask_history: true\n", {"task.train_on": "last"}),
        (
            FACTORY.replace("tickets_registered", "with_history"),
            {"data.fields.system": "rules", "data.fields.history": "before", "task.kind": "generation"},
        ),
        (FACTORY.replace("tickets_registered", "with_turns,with_messages"), {"task.kind": "chat", "data.fields": None}),
        (WEIGHED, {"data.source": [{"hub": "acme/a", "weight": "0.9"}, {"hub": "acme/b", "weight": "0.1"}]}),
        (PROPORTIONS, {"data.exhausted": "repeat", "data.source": [{"hub": "a/b", "weight": "0.7"}, REST]}),
        (TRL + "beta: 0.1\nmax_prompt_length: 512", {"task.kind": "preference"}),
        (AXOLOTL.replace("tickets.jsonl", "a.txt").replace("alpaca", "completion"), {"data.source": {"path": "a.txt"}}),
        (TRL + "beta: 0.05\npacking: false", {"task": {"kind": "preference", "beta": "0.05"}, "train.packing": False}),
        (
            TRL + "beta: 0.2\ndesirable_weight: 1.5\nundesirable_weight: 1",
            {"task": {"kind": "preference", "loss": "kto", "beta": "0.2", "desirable_weight": "1.5"}},
        ),
        (TRL + "loss_type: kto", {"task": {"kind": "preference", "loss": "kto"}}),
        (
            OUMI.replace("use_peft: false", "trainer_type: TRL_KTO")
            + "data: {train: {datasets: [{dataset_name: acme/rated}]}}",
            {"task": {"kind": "preference", "loss": "kto"}, "data.source": {"hub": "acme/rated"}},
        ),
        (
            OUMI.replace("use_peft: false", "trainer_type: TRL_DPO")
            + "data: {train: {datasets: [{dataset_name: acme/pairs}]}}",
            {"task.kind": "preference", "data.source": {"hub": "acme/pairs"}},
        ),
        (
            TUNE
            + "loss: {_component_: torchtune.rlhf.loss.DPOLoss, beta: 0.2}\n"
            + "dataset: {_component_: torchtune.datasets.stack_exchange_paired_dataset, packed: false}",
            {"task": {"kind": "preference", "beta": "0.2"}, "train.packing": False},
        ),
    ],
)
def test_tasks_rows_and_packing_of_other_tools(text: str, values: dict[str, Any]) -> None:
    imported = import_text(text)
    assert imported.recipe is not None, imported.reasons
    checked = check_recipe(imported.recipe.encode(), "recipe.yaml").recipe
    assert checked is not None
    said = checked.said()
    for path, value in values.items():
        found: Any = said
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        assert found == value, path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TRL + "loss_type: apo_zero_unpaired", "the preference loss `apo_zero_unpaired` is not supported"),
        (
            OUMI.replace("use_peft: false", "trainer_type: TRL_DPO")
            + "data: {train: {datasets: [{dataset_name: text_sft, dataset_path: a.jsonl}]}}",
            "`text_sft` is not a preference data set",
        ),
        (
            TUNE + "loss: {_component_: torchtune.rlhf.loss.DPOLoss}\n"
            "dataset: {_component_: torchtune.datasets.alpaca_dataset}",
            "rows without preferences",
        ),
    ],
)
def test_a_method_for_pairs_does_not_become_another_one(text: str, reason: str) -> None:
    imported = import_text(text)
    assert imported.recipe is None
    assert any(reason in found.summary for found in imported.reasons), imported.reasons


def test_a_mixture_is_told_key_by_key() -> None:
    imported = import_text(MIXED)
    lines = {key.key: (key.line, key.paths) for key in imported.keys}
    assert lines["datasets[0].path"] == (3, ("data.source",))
    assert "data.source" not in {added.path for added in imported.added}


@pytest.mark.parametrize("more", ["load_in_4bit: true\nadapter: lora", "adapter: qlora"])
def test_eight_bits_beside_four_are_a_conflict(more: str) -> None:
    (fate,) = [
        key.fate for key in import_text(AXOLOTL + more + "\nload_in_8bit: true").keys if key.key == "load_in_8bit"
    ]
    assert fate is Fate.CONFLICT


@pytest.mark.parametrize("path", ["/path/to/training/rows.jsonl", "~/training/rows.jsonl"])
def test_rows_outside_the_project_get_a_place_inside(path: str) -> None:
    found = import_text(AXOLOTL.replace("tickets.jsonl", path))
    assert recipe_values(found)["data.source.path"] == path.strip("~/")
    (key,) = [one for one in found.keys if "data.source.path" in one.paths]
    assert key.reason == f"`{path}` is outside the project: copy it to this place"
