"""What tasks, rows and packing of other tools become."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.check import check_recipe
from tests.compiler.importers.examples import AXOLOTL, FACTORY, MIXED, OUMI, TRL, TUNE, import_text

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
        (FACTORY.replace("tickets_registered", "with_turns,with_messages"), {"task.kind": "chat", "data.fields": None}),
        (TRL + "beta: 0.05\npacking: false", {"task": {"kind": "preference", "beta": "0.05"}, "train.packing": False}),
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
