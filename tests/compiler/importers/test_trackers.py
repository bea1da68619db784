"""Other tools' words for trackers become `track`."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.rules.check import check_recipe
from ftc.spec.documents.imported import Fate
from tests.compiler.importers.examples import import_text

AXOLOTL = "base_model: a/b\nadapter: lora\nmicro_batch_size: 1\ndatasets: [{path: rows.jsonl, type: alpaca}]\n"
TRL = "model_name_or_path: a/b\ndataset_name: rows.jsonl\n"
FACTORY = "model_name_or_path: a/b\nstage: sft\nfinetuning_type: lora\ndataset: rows\n"
OUMI = "model: {model_name: a/b}\n"
TUNE = (
    "model: {_component_: torchtune.models.llama3_1.lora_llama3_1_8b, lora_rank: 8}\n"
    "checkpointer: {checkpoint_dir: a}\ndataset: {_component_: torchtune.datasets.alpaca_dataset}\n"
)


def tracked(text: str) -> Any:
    """`track` of the imported recipe as plain values, only what was said."""
    found = import_text(text, task="generation", data="rows.jsonl", base="a/b")
    assert found.recipe is not None, found.reasons
    recipe = check_recipe(found.recipe.encode(), "recipe.yaml").recipe
    assert recipe is not None
    return recipe.track.model_dump(exclude_defaults=True) if recipe.track else None


@pytest.mark.parametrize(
    ("text", "track"),
    [
        (AXOLOTL + "wandb_project: p\nwandb_entity: e\n", {"wandb": {"project": "p", "entity": "e", "mode": "online"}}),
        (AXOLOTL + "wandb_project: p\nwandb_mode: offline\n", {"wandb": {"project": "p"}}),
        (AXOLOTL + "use_wandb: false\nwandb_project: p\n", None),
        (AXOLOTL + "use_mlflow: true\n", {"mlflow": {}}),
        (
            AXOLOTL + "use_mlflow: true\nmlflow_tracking_uri: http://localhost:5000\nmlflow_experiment_name: x\n",
            {"mlflow": {"uri": "http://localhost:5000", "experiment": "x"}},
        ),
        (
            AXOLOTL + "use_tensorboard: true\ntrackio_project_name: t\n",
            {"tensorboard": {}, "trackio": {"project": "t"}},
        ),
        (TRL + "report_to: [wandb, tensorboard]\n", {"wandb": {"mode": "online"}, "tensorboard": {}}),
        (TRL + "report_to: none\n", None),
        (TRL + "report_to: comet_ml\n", None),
        (OUMI + "training: {enable_wandb: true, enable_mlflow: false}\n", {"wandb": {"mode": "online"}}),
        (
            TUNE + "metric_logger: {_component_: torchtune.training.metric_logging.WandBLogger, project: q}\n",
            {"wandb": {"project": "q", "mode": "online"}},
        ),
    ],
)
def test_what_a_configuration_says_of_trackers_is_in_the_recipe(text: str, track: Any) -> None:
    assert tracked(text) == track


def test_a_tracker_that_ftc_does_not_know_is_said_to_be_lost() -> None:
    found = import_text(TRL + "report_to: [comet_ml]\n", task="generation", data="rows.jsonl")
    (fate,) = [key for key in found.keys if key.key == "report_to"]
    assert fate.fate is Fate.NOT_CARRIED
    assert "mlflow" in fate.help
