"""What ftc has, `ftc import` knows by the words of every tool that has it too; what it lacks, it says truly."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.compiler.importers import words
from ftc.compiler.importers.translate import TOOLS
from ftc.spec.documents import imported as documents
from ftc.spec.documents.imported import Fate
from ftc.spec.strategies import STRATEGIES, Card
from ftc.spec.tasks import TASKS
from ftc.spec.tasks.card import TaskSection
from tests.compiler.importers.examples import AXOLOTL, FACTORY, OUMI, TRL, TUNE, import_text, recipe_values

ROWS = "dataset: {_component_: torchtune.datasets.alpaca_dataset}\n"
GIVEN = {"data": "x.jsonl", "task": "chat"}
HAND_ON = ("axolotl", "llamafactory", "v1")
"""Tools whose words for adapters are also taken as peft's."""
V1 = "model: acme/brook\nmodel_class: llm\ntrain_dataset: listed.yaml\n"
TRAINERS = {
    "axolotl": AXOLOTL + "val_set_size: 0.1\n{axolotl}: {word}\n",
    "llamafactory": FACTORY + "val_size: 0.1\n{trainer}: {word}\n",
    "trl": TRL + "{trainer}: {word}\n",
    "oumi": OUMI.replace("use_peft: false", "use_peft: false, {oumi}: {word}"),
}
"""A minimal configuration of each tool that hands a word on to transformers' trainer."""


def value(text: str, path: str, **options: str) -> Any:
    return recipe_values(import_text(text, **(options or GIVEN))).get(path)


def written(tool: str, word: str, keys: dict[str, str]) -> str:
    text = TRAINERS[tool].replace("{word}", word)
    for name, key in keys.items():
        text = text.replace(f"{{{name}}}", key)
    return text


@pytest.mark.parametrize("tool", TRAINERS)
@pytest.mark.parametrize("word", words.OPTIMIZERS)
def test_every_optimizer_is_known_by_its_words(tool: str, word: str) -> None:
    keys = {"axolotl": "optimizer", "trainer": "optim", "oumi": "optimizer"}
    assert value(written(tool, word, keys), "train.optimizer.kind") == words.OPTIMIZERS[word]


@pytest.mark.parametrize("path", words.COMPONENTS)
def test_every_optimizer_is_known_by_its_class(path: str) -> None:
    text = f"{TUNE}{ROWS}optimizer: {{_component_: {path}}}\n"
    assert value(text, "train.optimizer.kind") == words.COMPONENTS[path]


@pytest.mark.parametrize("tool", TRAINERS)
@pytest.mark.parametrize("word", words.SCHEDULES)
def test_every_schedule_is_known_by_its_words(tool: str, word: str) -> None:
    keys = {"axolotl": "lr_scheduler", "trainer": "lr_scheduler_type", "oumi": "lr_scheduler_type"}
    imported = import_text(written(tool, word, keys), **GIVEN)
    if (kind := words.SCHEDULES[word]) != "plateau" or tool in ("axolotl", "llamafactory"):
        assert recipe_values(imported)["train.schedule.kind"] == kind
    else:  # these tools' validation rows are no share, and this schedule watches validation
        assert any("needs validation data" in key.reason for key in imported.keys)


@pytest.mark.parametrize("name", words.SCHEDULE_COMPONENTS)
def test_every_schedule_is_known_by_its_function(name: str) -> None:
    text = f"{TUNE}{ROWS}lr_scheduler: {{_component_: torchtune.training.lr_schedulers.{name}}}\n"
    assert value(text, "train.schedule.kind") == words.SCHEDULE_COMPONENTS[name]


@pytest.mark.parametrize(
    ("card", "tool", "word"),
    [
        (card, tool, word)
        for card in STRATEGIES
        for named, known in card.foreign_names.items()
        for word in known
        for tool in (HAND_ON if named == "peft" else (named,))
    ],
    ids=lambda one: getattr(one, "kind", one or "none"),
)
def test_every_strategy_is_known_by_its_words(card: Card, tool: str, word: str) -> None:
    prefix = "" if word == "full" else f"{word}_"
    text = {
        "axolotl": f"{AXOLOTL}adapter: {word}\nload_in_4bit: {str(word == 'qlora').lower()}\n",
        "llamafactory": f"{FACTORY}finetuning_type: {word}\n",
        "v1": f"{V1}peft_config: {{name: {word}}}\n",
        "trl": f"{TRL}use_peft: {str(word == 'lora').lower()}\n",
        "torchtune": TUNE.replace("qwen3.qwen3", f"qwen3.{prefix}qwen3") + ROWS,
        "oumi": OUMI.replace("use_peft: false", f"use_peft: {str(word == 'lora').lower()}"),
    }
    assert value(text[tool], "strategy.kind") == card.kind


def told(text: str) -> set[str]:
    """What is said in place of a recipe."""
    return {f"{found.summary} {' '.join(found.help)}" for found in import_text(text).reasons}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name())
def test_every_task_is_imported_or_refused_by_name(task: type[TaskSection]) -> None:
    for word in (task.name(), *task.CARD.foreign_names):
        text = AXOLOTL.replace("alpaca", word)
        kind = recipe_values(imported)["task.kind"] if (imported := import_text(text)).recipe else None
        assert kind == task.name() or any(f"`{task.name()}`" in one for one in told(text)), word
        stage = FACTORY.replace("sft", word)
        assert import_text(stage).recipe or any(
            f"`{task.name()}`" in one or "`dpo`" in one or "without preferences" in one for one in told(stage)
        ), word
        if not task.CARD.is_imported:
            assert any(f"`{task.name()}`" in one for one in told(f"{TRL}use_peft: true\nlora_task_type: {word}\n"))


def test_the_user_says_which_task_a_word_is_for() -> None:
    assert recipe_values(import_text(AXOLOTL.replace("alpaca", "sft"), task="chat"))["task.kind"] == "chat"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (AXOLOTL + "adapter: vera\nlora_r: 64\nlora_target_modules: [q_proj]", "strategy.rank", 64),
        (AXOLOTL + "adapter: vera\nlora_target_linear: true", "strategy.targets", "all-linear"),
        (
            AXOLOTL + "adapter: lora\nlora_target_modules: [q_proj]\nlora_target_parameters: [7.mlp.experts.down_proj]",
            "strategy.target_parameters",
            ("7.mlp.experts.down_proj",),
        ),
        (TRL + "use_peft: true\nlora_target_parameters: [experts.down_proj]", "strategy.dropout", 0.0),
        (TRL + "use_peft: true\nlora_target_parameters: ['mlp.experts.*']", "strategy.dropout", 0.05),
        (AXOLOTL + "adapter: loha\nlora_alpha: 8", "strategy.alpha", 8),
        (V1 + "peft_config: {name: randlora, r: 4, target_modules: [q_proj]}", "strategy.targets", ("q_proj",)),
        (FACTORY + "finetuning_type: oft\noft_block_size: 16\noft_target: q_proj", "strategy.targets", ("q_proj",)),
        (FACTORY + "finetuning_type: lora\npissa_init: true\npissa_iter: 16", "strategy.init", "pissa"),
        (FACTORY + "finetuning_type: freeze\nfreeze_trainable_layers: 3", "strategy.layers", 3),
        (FACTORY + "finetuning_type: freeze", "strategy.layers", 2),
        (FACTORY + "finetuning_type: freeze\nfreeze_trainable_layers: 3", "strategy.parameters", ("layers",)),
        (
            FACTORY + "finetuning_type: freeze\nfreeze_trainable_modules: mlp,self_attn\n"
            "freeze_extra_modules: embed_tokens",
            "strategy.parameters",
            ("layers.*.mlp", "layers.*.self_attn", "embed_tokens"),
        ),
        (
            FACTORY + "finetuning_type: freeze\nfreeze_trainable_layers: -2",
            "strategy.parameters",
            ("layers.0", "layers.1"),
        ),
        (AXOLOTL + "adapter: lora\npeft_init_lora_weights: pissa_niter_4", "strategy.init", "pissa"),
        (
            AXOLOTL + "unfrozen_parameters: ['^lm_head.weight$', 'model.norm']",
            "strategy.parameters",
            ("lm_head.weight", "model.norm*"),
        ),
        (
            AXOLOTL + "unfrozen_parameters: ['model.layers.3[0-9]+.mlp', 'model\\.layers\\.(7|2\\d).']",
            "strategy.parameters",
            ("model.layers.3[0-9]*.mlp*", "model.layers.7", "model.layers.2[0-9]"),
        ),
        (
            AXOLOTL + "unfrozen_parameters: ['model.layers.4[4-9]+.block_sparse_moe.gate']",
            "train.train_router",
            True,
        ),
        (AXOLOTL + "unfrozen_parameters: ['model.layers.4[4-9]+.mlp.gate_proj']", "train.train_router", None),
        (AXOLOTL + "unfrozen_parameters: ['mlp.shared_expert_gate']", "train.train_router", True),
        (
            AXOLOTL + "learning_rate: 2e-4\nembedding_lr_scale: 0.5\n"
            "lr_groups: [{name: o, modules: [o_proj], lr: 1e-6}]",
            "train.parameter_groups",
            (
                {"parameters": ("*embed_tokens*", "*lm_head*"), "learning_rate": 1e-4},
                {"parameters": ("*o_proj*",), "learning_rate": 1e-6},
            ),
        ),
        (OUMI.replace("brook}", "brook, freeze_layers: [visual]}"), "strategy.freeze", ("visual",)),
        (OUMI.replace("brook}", "brook, freeze_layers: [visual]}").replace("false", "true"), "strategy.freeze", None),
        (TUNE + ROWS + "optimizer: {_component_: torch.optim.SGD}", "train.optimizer.momentum", 0),
        (TUNE + ROWS + "optimizer: {_component_: torch.optim.SGD, momentum: 0.8}", "train.optimizer.momentum", 0.8),
        (
            "model_name_or_path: acme/brook\ndataset_mixer: {acme/one: 1.0, acme/two: 1}\nassistant_only_loss: true\n",
            "data.source",
            ({"hub": "acme/one"}, {"hub": "acme/two"}),
        ),
        (V1 + "optim_config: {name: paged_adamw_8bit}", "train.optimizer.kind", "adamw_8bit_paged"),
        (V1 + "lr_scheduler_config: {name: cosine}", "train.schedule.kind", "cosine"),
        (
            AXOLOTL + "val_set_size: 0.1\nearly_stopping_patience: 2\nmetric_for_best_model: eval_loss",
            "train.early_stopping.patience",
            2,
        ),
    ],
)
def test_what_ftc_has_is_carried(text: str, path: str, expected: Any) -> None:
    given = {} if "dataset_mixer" in text else GIVEN  # rows that the user gives would take the place of those
    assert recipe_values(import_text(text, **given)).get(path) == expected


def test_ratings_are_carried() -> None:
    found = recipe_values(import_text(AXOLOTL + "rl: kto\nrl_beta: 0.2\nkto_desirable_weight: 1.5"))
    assert (found["task.kind"], found["task.loss"]) == ("preference", "kto")
    assert (found["task.beta"], found["task.desirable_weight"], found["data.fields.rating"]) == (0.2, 1.5, "label")


def test_the_metric_to_stop_by_is_known_by_its_words() -> None:
    ranked = FACTORY.replace("tickets_registered", "ranked").replace("sft", "dpo")
    text = f"{ranked}val_size: 0.1\nearly_stopping_steps: 2\nmetric_for_best_model: eval_rewards/accuracies\n"
    assert recipe_values(import_text(text))["train.early_stopping.metric"] == "val_preference_accuracy"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            AXOLOTL + "unfrozen_parameters: ['^model.embed_tokens.weight$[:32000]']",
            "can't be written as a pattern of a recipe",
        ),
        (AXOLOTL + "adapter: lora\nunfrozen_parameters: [lm_head]", "parameters by name beside an adapter"),
        (FACTORY + "finetuning_type: freeze\nfreeze_trainable_layers: -1000000000", "more than the 200 of a recipe"),
        ("model_name_or_path: acme/brook\ndataset_mixer: {acme/one: 0.5}\n", "shares of data sets are not supported"),
    ],
)
def test_what_a_strategy_can_not_say_gives_a_reason(text: str, reason: str) -> None:
    imported = import_text(text)
    assert imported.recipe is None
    assert any(reason in found.summary for found in imported.reasons), imported.reasons


def test_rows_that_the_user_gives_take_the_place_of_shares() -> None:
    text = "model_name_or_path: acme/brook\ndataset_mixer: {acme/one: 0.5}\n"
    assert value(text, "data.source.path") == "x.jsonl"


def test_a_word_for_nothing_that_ftc_has_lists_what_there_is() -> None:
    imported = import_text(AXOLOTL + "lr_scheduler: one_cycle", **GIVEN)
    (key,) = [key for key in imported.keys if key.key == "lr_scheduler"]
    assert key.fate is Fate.NOT_CARRIED
    assert all(kind in key.help for kind in words.SCHEDULE_KINDS)
    assert "cosine, is used instead" in key.help


def test_keys_about_several_devices_are_not_called_foreign_to_a_recipe() -> None:
    imported = import_text(AXOLOTL + "deepspeed: zero3.json", **GIVEN)
    (key,) = [key for key in imported.keys if key.key == "deepspeed"]
    assert "train.sharding" in key.help


def test_a_template_of_the_tools_own_names_the_verb_that_shows_rows() -> None:
    imported = import_text(FACTORY + "template: qwen\n", **GIVEN)
    (key,) = [key for key in imported.keys if key.key == "template"]
    assert "`ftc tokens`" in key.help


def test_every_tool_that_can_be_named_has_a_reader() -> None:
    assert {tool.name for tool in TOOLS} == set(documents.TOOLS)
