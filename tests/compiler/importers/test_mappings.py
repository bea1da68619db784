"""What configurations in the style of each tool become: recipe values, and fates of keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ftc.compiler.rules.check import check_recipe
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.imported import Fate, Imported
from tests.compiler.importers.examples import (
    AXOLOTL,
    FACTORY,
    FOLDER,
    MIXED,
    NAMES,
    OUMI,
    TRL,
    TUNE,
    import_example,
    import_text,
    recipe_values,
)

CARRIED, NEEDLESS, DROPPED = Fate.CARRIED, Fate.NOT_NEEDED, Fate.NOT_CARRIED
IGNORED, CONFLICT = Fate.IGNORED, Fate.CONFLICT

EXPECTED: dict[str, dict[str, Any]] = {
    "axolotl_qlora.yml": {
        "task.kind": "generation",
        "data.source.path": "tickets.jsonl",
        "data.fields.completion": "output",
        "data.split.validation": 0.04,
        "data.split.test": 0,
        "data.max_length": 3072,
        "data.overflow": "cut",
        "model.base": "acme/brook-3b",
        "model.revision": "v2.1",
        "model.attention": "flash_attention_2",
        "strategy.kind": "qlora",
        "strategy.rank": 24,
        "strategy.alpha": 48,
        "strategy.dropout": 0.1,
        "strategy.targets": "all-linear",
        "strategy.dora": True,
        "strategy.loraplus_lr_ratio": 8,
        "train.neftune_alpha": 5,
        "train.epochs": 2,
        "train.batch_size": 24,
        "train.micro_batch": 4,
        "train.learning_rate": 1e-4,
        "train.schedule.kind": "cosine",
        "train.schedule.warmup_ratio": 0.08,
        "train.optimizer.weight_decay": 0.02,
        "train.precision": "auto",
        "train.activation_checkpointing": True,
        "train.evaluate_every": "epoch",
        "train.early_stopping.patience": 3,
        "train.seed": 7,
    },
    "axolotl_chat_full.yml": {
        "task.kind": "chat",
        "data.source.hub": "acme/dialogues",
        "data.source.file": "train/part-0.parquet",
        "data.source.revision": "4f2c",
        "data.fields.messages": "turns",
        "data.split.validation": 0.1,
        "data.max_length": 512,
        "data.overflow": "drop",
        "strategy.kind": "full",
        "train.max_steps": 400,
        "train.learning_rate": 2e-5,
        "train.schedule.kind": "constant",
        "train.schedule.warmup_steps": 20,
        "train.precision": "float32",
        "train.evaluate_every": 100,
        "train.seed": 42,
    },
    "axolotl_own_format.yml": {
        "task.prompt": """[Q] {{ question }} {{ '{' }}x} [A]{{ "\\n" }}""",
        "data.fields.completion": "answer",
        "data.source.path": "tickets.jsonl",
        "train.schedule.kind": "constant",
        "train.schedule.warmup_ratio": 0,
    },
    "llamafactory_lora.yaml": {
        "task.prompt": '{{ question }}{{ "\\n" ~ context if context else "" }}',
        "data.fields.completion": "answer",
        "data.source.path": "data/tickets.json",
        "data.split.validation": 0.1,
        "data.max_length": 1536,
        "data.max_rows": 900,
        "strategy.kind": "qlora",
        "strategy.quantization": "fp4",
        "strategy.rank": 12,
        "strategy.alpha": 24,
        "strategy.targets": ("q_proj", "v_proj"),
        "train.batch_size": 16,
        "train.precision": "bfloat16",
        "train.activation_checkpointing": True,
        "train.evaluate_every": 50,
    },
    "llamafactory_v1.yaml": {
        "data.source.path": "tickets.jsonl",
        "task.kind": "generation",
        "strategy.kind": "qlora",
        "strategy.rank": 6,
        "strategy.alpha": 18,
        "train.batch_size": 24,
        "train.micro_batch": 2,
        "train.max_steps": 60,
        "train.schedule.kind": "constant",
    },
    "trl_sft.yaml": {
        "task.kind": "pretraining",
        "data.fields.text": "body",
        "data.max_length": 640,
        "strategy.kind": "qlora",
        "strategy.rank": 20,
        "strategy.alpha": 32,
        "strategy.dropout": 0.05,
        "strategy.double_quantization": False,
        "train.batch_size": 10,
        "train.learning_rate": 2e-4,
        "train.schedule.warmup_ratio": 0.03,
        "train.evaluate_every": "epoch",
    },
    "trl_sft.json": {
        "task.kind": "chat",
        "strategy.kind": "full",
        "train.epochs": 1.5,
        "train.learning_rate": 1e-5,
        "train.optimizer.beta2": 0.95,
        "train.max_grad_norm": 0.5,
        "train.activation_checkpointing": False,
    },
    "torchtune_lora.yaml": {
        "task.kind": "generation",
        "data.fields.prompt": "question",
        "data.fields.completion": "answer",
        "data.source.path": "tickets.jsonl",
        "data.max_length": 896,
        "model.base": "meta-llama/Llama-3.2-1B-Instruct",
        "strategy.kind": "lora",
        "strategy.targets": ("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        "train.epochs": 2,
        "train.max_steps": 100,
        "train.batch_size": 12,
        "train.schedule.warmup_steps": 10,
        "train.max_grad_norm": None,
        "train.precision": "bfloat16",
        "train.save_in_background": True,
    },
    "openai_job.json": {
        "task.kind": "chat",
        "data.source.path": "tickets.jsonl",
        "model.base": "acme/brook",
        "train.epochs": 3,
        "train.batch_size": 4,
        "train.seed": 683058546,
        "train.learning_rate": "absent",
    },
    "oumi_qlora.yaml": {
        "task.kind": "chat",
        "data.source.path": "tickets.jsonl",
        "data.max_length": 1792,
        "strategy.kind": "qlora",
        "strategy.quantization": "nf4",
        "strategy.double_quantization": False,
        "train.batch_size": 8,
        "train.precision": "bfloat16",
    },
}

FATES: list[tuple[str, str, Fate]] = [
    ("axolotl_qlora.yml", "datasets[0].type", CARRIED),
    ("axolotl_qlora.yml", "sample_packing", CARRIED),
    ("axolotl_qlora.yml", "evals_per_epoch", DROPPED),
    ("axolotl_qlora.yml", "fsdp_config", DROPPED),
    ("axolotl_qlora.yml", "resume_from_checkpoint", NEEDLESS),
    ("axolotl_qlora.yml", "load_in_8bit", NEEDLESS),
    ("axolotl_qlora.yml", "context_paralel_size", IGNORED),
    ("axolotl_chat_full.yml", "val_set_size", DROPPED),
    ("axolotl_chat_full.yml", "load_in_8bit", DROPPED),
    ("axolotl_chat_full.yml", "optimizer", CARRIED),
    ("axolotl_chat_full.yml", "lora_r", IGNORED),
    ("axolotl_chat_full.yml", "warmup_steps", CARRIED),
    ("axolotl_own_format.yml", "warmup_steps", IGNORED),
    ("llamafactory_lora.yaml", "dataset", CARRIED),
    ("llamafactory_lora.yaml", "template", DROPPED),
    ("llamafactory_lora.yaml", "export_dir", IGNORED),
    ("llamafactory_lora.yaml", "save_steps", CARRIED),
    ("llamafactory_v1.yaml", "dist_config", DROPPED),
    ("trl_sft.yaml", "report_to", CARRIED),
    ("trl_sft.yaml", "packing", CARRIED),
    ("trl_sft.json", "fp16", CARRIED),
    ("torchtune_lora.yaml", "dataset.column_map", NEEDLESS),
    ("torchtune_lora.yaml", "gradient_acumulation_steps", IGNORED),
    ("torchtune_lora.yaml", "metric_logger", NEEDLESS),
    ("oumi_qlora.yaml", "training.trainer_kwargs", DROPPED),
    ("oumi_qlora.yaml", "training.warmup_steps", CARRIED),
    ("openai_job.json", "model", DROPPED),
    ("openai_job.json", "hyperparameters.learning_rate_multiplier", DROPPED),
    ("openai_job.json", "hyperparameters.n_epochs", NEEDLESS),
    ("openai_job.json", "trained_tokens", NEEDLESS),
]


PATTERNED = (
    "adapter: lora\nlora_rank_pattern: {q_proj: 8, 'layers\\.0\\.mlp\\.up_proj': 4}\nlora_alpha_pattern: {q_proj: 4}\n"
    "lora_modules_to_save: norm\npeft_init_lora_weights: pissa\n"
)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_carried(name: str) -> None:
    values = recipe_values(import_example(name))
    assert {path: values.get(path, "absent") for path in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize(("name", "key", "fate"), FATES)
def test_keys_have_the_fate_that_is_true_of_them(name: str, key: str, fate: Fate) -> None:
    assert fates(import_example(name))[key] is fate


@pytest.mark.parametrize("name", NAMES)
def test_recipes_validate_and_tell_where_each_value_is_from(name: str) -> None:
    imported = import_example(name)
    assert imported.recipe is not None
    assert check_recipe(imported.recipe.encode(), "recipe.yaml").recipe is not None
    silent = [line for line in imported.recipe.splitlines() if ": " in line and " # " not in line]
    assert [line for line in silent if not line.startswith(("#", "ftc: 1", "    "))] == []


def test_a_job_of_a_service_needs_rows_and_a_base_of_your_own() -> None:
    text = (FOLDER / "openai_job.json").read_bytes()
    assert [one.summary for one in import_text(text).reasons] == [
        "the base `gpt-4o-mini-2024-07-18` is not to be had outside of the service",
        "the rows are at the service",
    ]
    other = text.replace(b'"type": "supervised"', b'"type": "dpo"')
    (reason,) = import_text(other, data="tickets.jsonl", base="acme/brook").reasons
    assert reason.summary.startswith("jobs of the method `dpo` are not imported")
    older = b'{"training_file": "file-1", "model": "m", "trained_tokens": 5, "hyperparameters": {"n_epochs": 2}}'
    assert recipe_values(import_text(older, data="tickets.jsonl", base="acme/brook"))["train.epochs"] == 2


def test_lines_are_those_of_the_file() -> None:
    lines = {key.key: key.line for key in import_example("axolotl_qlora.yml").keys}
    assert (lines["base_model"], lines["datasets[0].type"], lines["seed"]) == (1, 12, 48)


def fates(imported: Imported) -> dict[str, Fate]:
    return {key.key: key.fate for key in imported.keys}


_SAMPLED = {
    "num_generations": 4,
    "max_completion_length": 96,
    "loss_type": "dr_grpo",
    "beta": 0.04,
    "temperature": 0.7,
    "reward_funcs": "accuracy_reward",
    "reward_weights": [1.0],
    "use_vllm": True,
    "num_iterations": 2,
    "top_p": 0.9,
}


@pytest.mark.parametrize(("text", "under"), [(TRL, ""), (AXOLOTL + "rl: grpo\n", "trl.")], ids=["trl", "axolotl"])
def test_sampled_answers_are_carried_and_reward_functions_are_named(text: str, under: str) -> None:
    keys = json.dumps({"trl": _SAMPLED} if under else _SAMPLED)[1:-1]
    imported = import_text(text + keys.replace(', "', '\n"') if not under else text + keys)
    values, found = recipe_values(imported), fates(imported)
    assert {key.removeprefix("task."): value for key, value in values.items() if key.startswith("task.")} == {
        "kind": "reinforcement",
        "rewards": ({"kind": "exact_match"},),
        "loss": "dr_grpo",
        "group_size": 4,
        "max_new_tokens": 96,
        "temperature": 0.7,
        "beta": 0.04,
    }
    lost = {key.removeprefix(under) for key, fate in found.items() if fate is Fate.NOT_CARRIED}
    assert {"reward_funcs", "reward_weights", "num_iterations", "top_p"} <= lost
    assert found[f"{under}use_vllm"] is Fate.NOT_NEEDED


_SERVED = "use_vllm: true, vllm_mode: server, vllm_server_port: 8000, vllm_importance_sampling_cap: 3.0"
_ASKED_OUMI = "data: {train: {datasets: [{dataset_name: openai/gsm8k}]}}\n"


@pytest.mark.parametrize(
    ("text", "under", "is_carried"),
    [
        (TRL + "use_peft: true\nnum_generations: 4\n" + _SERVED.replace(", ", "\n"), "", True),
        (TRL + "num_generations: 4\n" + _SERVED.replace(", ", "\n"), "", False),  # vLLM takes adapters alone
        (TRL + "use_peft: true\nnum_generations: 4\nuse_vllm: true\nvllm_mode: colocate\n", "", False),
        (AXOLOTL + f"rl: grpo\nadapter: lora\ntrl: {{{_SERVED}}}\n", "trl.", True),
        (
            "model: {model_name: acme/brook}\n" + _ASKED_OUMI + "training: "
            f"{{trainer_type: TRL_GRPO, use_peft: true, grpo: {{{_SERVED}}}}}\n",
            "training.grpo.",
            True,
        ),
    ],
    ids=["trl", "whole model", "colocated", "axolotl", "oumi"],
)
def test_a_server_that_writes_answers_is_carried(text: str, under: str, *, is_carried: bool) -> None:
    imported = import_text(text)
    values, found = recipe_values(imported), fates(imported)
    assert values.get("task.writer") == ("vllm" if is_carried else None)
    if is_carried:
        assert values["task.importance_cap"] == 3.0
        assert found[f"{under}vllm_server_port"] is Fate.NOT_NEEDED


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        (FACTORY + "rope_scaling: yarn", None),
        (AXOLOTL + "overrides_of_model_config: {rope_scaling: {type: yarn, factor: 4.0}}", 4),
        (OUMI.replace("acme/brook", "acme/brook, model_kwargs: {rope_scaling: {rope_type: yarn, factor: 4.0}}"), 4),
    ],
)
def test_scaled_rotations_are_carried(text: str, factor: float | None) -> None:
    found = recipe_values(import_text(text, data="x.jsonl", task="chat"))
    assert found["model.rope.kind"] == "yarn"
    assert found.get("model.rope.factor") == factor


def test_a_teacher_is_carried() -> None:
    imported = import_text(
        TUNE
        + "dataset: {_component_: torchtune.datasets.alpaca_dataset}\n"
        + "kd_loss: {_component_: torchtune.modules.loss.ReverseKLWithChunkedOutputLoss, ignore_index: -100}\n"
        + "kd_ratio: 0.7\nteacher_model: {_component_: torchtune.models.qwen3.qwen3_8b}\n"
        + "teacher_checkpointer: {_component_: torchtune.training.FullModelHFCheckpointer, "
        + "checkpoint_dir: /tmp/Qwen3-8B, checkpoint_files: [a.safetensors], model_type: QWEN3}\n"
    )
    values, place = recipe_values(imported), "train.distillation."
    assert {key.removeprefix(place): value for key, value in values.items() if key.startswith(place)} == {
        "loss": "reverse_kl",
        "temperature": 1,
        "weight": 0.7,
        "teacher": "Qwen/Qwen3-8B",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (AXOLOTL + "rl: ebft", "reinforcement learning other than GRPO is not supported"),
        (AXOLOTL + "rl: dpo\ndpo_loss_type: [sppo_hard]", "the preference loss `sppo_hard` is not supported"),
        (AXOLOTL + "adapter: llama-adapter", "no strategy matches the adapter"),
        (AXOLOTL.replace("alpaca", "{format: x, field_instruction: 'a }} b'}"), "can't be named in a prompt"),
        (AXOLOTL.replace("alpaca", "pygmalion"), "rows of the type"),
        (AXOLOTL.replace("tickets.jsonl", "https://example.org/rows.jsonl"), "web address"),
        (AXOLOTL.replace("tickets.jsonl", "./rows.zip"), "is not a data file"),
        (AXOLOTL.replace("tickets.jsonl", "squad"), "neither a data file nor an id"),
        (AXOLOTL.replace("acme/brook", "~"), "no base model is named"),
        (AXOLOTL.replace("acme/brook", "/models/brook"), "outside the project"),
        (MIXED.replace("c.jsonl, type: alpaca", "c.jsonl, type: chat_template"), "different prompt formats"),
        ("base_model: a/b\nmicro_batch_size: 1", "no data set is named"),
        (FACTORY.replace("sft", "dpo"), "rows without preferences, which `dpo` does not train on"),
        (FACTORY.replace("sft", "kto"), "which `kto` does not train on"),
        (FACTORY.replace("sft", "ppo"), "training of the kind `ppo` is not supported"),
        (FACTORY.replace("sft", "dpo") + "pref_loss: kto_pair", "the preference loss `kto_pair` is not supported"),
        (FACTORY + "finetuning_type: mystery", "no strategy matches `mystery`"),
        (FACTORY.replace("tickets_registered", "one,two"), "has no entry `one`"),
        (FACTORY.replace("tickets_registered", "absent"), "has no entry `absent`"),
        (FACTORY.replace("tickets_registered", "strange"), "has no entry `strange`"),
        (FACTORY.replace("tickets_registered", "ranked"), "rows of preferences, which `sft` does not train on"),
        (FACTORY + "dataset_dir: elsewhere", "is a name in `dataset_info.json`, which is not here"),
        (TRL, "detects the format of the rows"),
        (TRL + "beta: 0.1\nreward_model_path: a/b", "PPO is not supported"),
        (TRL + "num_generations: 8\nloss_type: cispo", "the loss `cispo` is not supported"),
        (OUMI.replace("use_peft: false", "trainer_type: TRL_GOLD"), "no teacher is named"),
        ("model: {model_name: acme/brook}\ngeneration: {max_new_tokens: 9}", "a configuration that trains nothing"),
        ("model_name_or_path: acme/brook\ntemplate: qwen3\ninfer_backend: huggingface", "that trains nothing"),
        (AXOLOTL + "reinit_weights: true", "randomly initialized weights"),
        (TUNE + "dataset: {_component_: my_project.rows}", "the data set builder `my_project.rows` is not in"),
        (
            TUNE + "kd_loss: {_component_: torchtune.modules.loss.SymmetricKLLoss}",
            "this kind of distillation is not supported",
        ),
        (AXOLOTL + "kd_trainer: true", "distillation from stored outputs"),
        (TUNE.replace("qwen3.qwen3", "flamingo.flamingo"), "no model builder"),
    ],
)
def test_what_can_not_become_a_recipe_gives_reasons(text: str, reason: str) -> None:
    imported = import_text(text)
    assert imported.recipe is None
    assert any(reason in found.summary for found in imported.reasons), imported.reasons
    assert {found.code for found in imported.reasons} == {"FTC392"}
    assert all(found.help for found in imported.reasons)


@pytest.mark.parametrize(
    ("text", "options", "values"),
    [
        (TRL, {"task": "chat"}, {"task.kind": "chat"}),
        (AXOLOTL, {"task": "chat", "data": "mine.jsonl"}, {"task.kind": "chat", "data.source.path": "mine.jsonl"}),
        (
            AXOLOTL.replace("tickets.jsonl", "acme/tickets"),
            {"hub_file": "a/b.parquet"},
            {"data.source.hub": "acme/tickets", "data.source.file": "a/b.parquet"},
        ),
        (AXOLOTL.replace("acme/brook", "/models/brook"), {"base": "acme/other"}, {"model.base": "acme/other"}),
        (FACTORY.replace("tickets_registered", "with_messages"), {}, {"data.fields.messages": "turns"}),
        (FACTORY.replace("sft", "pt"), {}, {"task.kind": "pretraining", "data.fields.text": "question"}),
        (
            AXOLOTL + PATTERNED,
            {},
            {
                "strategy.patterns": (
                    {"modules": ("q_proj",), "rank": 8},
                    {"modules": ("layers.0.mlp.up_proj",), "rank": 4},
                    {"modules": ("q_proj",), "alpha": 4},
                ),
                "strategy.modules_to_save": ("norm",),
                "strategy.init": "pissa",
            },
        ),
        (
            TRL + "use_peft: true\nlora_modules_to_save: [norm]",
            {"task": "chat"},
            {"strategy.modules_to_save": ("norm",)},
        ),
        (FACTORY + "finetuning_type: lora\nadditional_target: norm", {}, {"strategy.modules_to_save": ("norm",)}),
        (
            OUMI.replace("false}", "true}") + "peft: {lora_modules_to_save: [norm], lora_init_weights: olora}",
            {"task": "chat", "data": "x.jsonl"},
            {"strategy.modules_to_save": ("norm",), "strategy.init": "olora"},
        ),
        (FACTORY + "dataset_dir: no", {"task": "chat", "data": "x.jsonl"}, {"data.source.path": "x.jsonl"}),
        (
            TUNE + "dataset: {_component_: torchtune.datasets.alpaca_dataset}",
            {"data": "x.jsonl"},
            {"model.base": "Qwen/Qwen3-4B", "task.kind": "generation", "strategy.kind": "full"},
        ),
    ],
)
def test_what_the_user_adds_counts(text: str, options: dict[str, str], values: dict[str, Any]) -> None:
    found = recipe_values(import_text(text, **options))
    assert {path: found.get(path) for path in values} == values


@pytest.mark.parametrize(
    ("line", "key", "fate"),
    [
        ("warmup_steps: 5\nwarmup_ratio: 0.1", "warmup_ratio", CONFLICT),
        ("adapter: lora\nlora_target_linear: true\nlora_target_modules: [q_proj]", "lora_target_modules", CONFLICT),
        ("adapter: qlora", "adapter", CONFLICT),
        ("load_in_4bit: true\nload_in_8bit: true\nadapter: lora", "load_in_8bit", CONFLICT),
        ("early_stopping_patience: 2", "early_stopping_patience", CONFLICT),
        ("adapter: lora\nlora_target_modules: 'model.*proj$'", "lora_target_modules", DROPPED),
        ("adapter: lora\nlora_target_parameters: ['mlp.experts.*']", "lora_target_parameters", DROPPED),
        ("adapter: lora\nload_in_8bit: true\nlora_target_parameters: [mlp]", "lora_target_parameters", DROPPED),
        ("lora_target_parameters: [mlp.experts.down_proj]", "lora_target_parameters", IGNORED),
        ("adapter: lora\nlora_rank_pattern: {'layers.[01].*': 4}", "lora_rank_pattern", DROPPED),
        ("adapter: lora\nlora_rank_pattern: {q_proj: 1.5}", "lora_rank_pattern", DROPPED),
        ("adapter: lora\nlora_rank_pattern: {}", "lora_rank_pattern", NEEDLESS),
        ("lora_alpha_pattern: {q_proj: 4}", "lora_alpha_pattern", NEEDLESS),
        ("adapter: lora\npeft_init_lora_weights: loftq", "peft_init_lora_weights", DROPPED),
        ("adapter: lora\npeft_init_lora_weights: true", "peft_init_lora_weights", NEEDLESS),
        ("learning_rate: fast", "learning_rate", DROPPED),
        ("learning_rate: -1", "learning_rate", DROPPED),
        ("learning_rate: .nan", "learning_rate", DROPPED),
        ("num_epochs: [1, 2]", "num_epochs", DROPPED),
        ("sequence_len: 2", "sequence_len", DROPPED),
        ("adapter: lora\nlora_alpha: 1.5", "lora_alpha", DROPPED),
        ("fp16: true", "fp16", CARRIED),
        ("default_system_message: Be brief.", "default_system_message", CARRIED),
        ("eta_min: 1e-6", "eta_min", IGNORED),
        (
            "overrides_of_model_config: {rope_scaling: {rope_type: longrope, factor: 4.0}}",
            "overrides_of_model_config.rope_scaling.rope_type",
            DROPPED,
        ),
        ("gradient_checkpointing: offload", "gradient_checkpointing", CARRIED),
        (
            "gradient_checkpointing: true\nselective_checkpointing: {save: [attention]}",
            "selective_checkpointing.save",
            CARRIED,
        ),
        ("torch_compile: true", "torch_compile", CARRIED),
        ("torch_compile: false", "torch_compile", NEEDLESS),
        ("liger_rope: true", "liger_rope", CARRIED),
        ("liger_rms_norm: false", "liger_rms_norm", NEEDLESS),
        ("liger_fused_linear_cross_entropy: true", "liger_fused_linear_cross_entropy", NEEDLESS),
        ("max_steps: -1", "max_steps", NEEDLESS),
        ("? ''\n: 3", "", IGNORED),
    ],
)
def test_fates_of_single_keys(line: str, key: str, fate: Fate) -> None:
    imported = import_text(AXOLOTL + line)
    assert imported.recipe is not None
    assert fates(imported)[key] is fate


def test_a_value_that_a_recipe_refuses_is_told_with_the_reason() -> None:
    (key,) = [key for key in import_text(AXOLOTL + "sequence_len: 2").keys if key.key == "sequence_len"]
    assert "not valid in a recipe" in key.reason


def test_a_key_that_stands_twice_is_a_conflict_where_it_does_not_count() -> None:
    imported = import_text("learning_rate: 1\n" + AXOLOTL + "learning_rate: 3e-4\n")
    assert recipe_values(imported)["train.learning_rate"] == 3e-4
    found = [(key.line, key.fate) for key in imported.keys if key.key == "learning_rate"]
    assert found == [(1, CONFLICT), (5, CARRIED)]


def test_the_tool_can_be_told() -> None:
    with pytest.raises(Refusal) as refusal:
        import_text("compute_environment: LOCAL_MACHINE\n")
    assert refusal.value.exit_code == 3
    assert refusal.value.diagnostics[0].code == "FTC391"
    assert import_text("compute_environment: LOCAL_MACHINE\n", tool="axolotl").tool == "Axolotl"


@pytest.mark.parametrize("stem", ["Größe & Co", "...", "x" * 90, "UPPER"])
def test_any_file_name_gives_a_name(stem: str) -> None:
    assert recipe_values(import_text(AXOLOTL, f"{stem}.yml"))["name"]


TUNED = f"{TUNE}dataset: {{_component_: torchtune.datasets.alpaca_dataset}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{FACTORY}finetuning_type: full\npure_bf16: true\n", ("pure_bfloat16", None)),
        (f"{FACTORY}finetuning_type: full\npure_bf16: true\noptim: adamw_torch\n", ("pure_bfloat16", "adamw_kahan")),
        (f"{FACTORY}finetuning_type: full\npure_bf16: false\nbf16: true\n", ("bfloat16", None)),
        (f"{FACTORY}pure_bf16: true\n", ("bfloat16", None)),  # LoRA
        (
            f"{TUNED}dtype: bf16\noptimizer: {{_component_: torch.optim.AdamW}}\n",
            ("pure_bfloat16", "adamw_kahan"),
        ),
        (
            f"{TUNED}dtype: bf16\noptimizer: {{_component_: bitsandbytes.optim.PagedAdamW8bit}}\n",
            ("bfloat16", "adamw_8bit_paged"),
        ),
        (f"{TUNED}dtype: fp32\n", ("float32", None)),
        (f"{AXOLOTL}bf16: full\n", ("pure_bfloat16", None)),
        (f"{AXOLOTL}bf16: true\n", ("bfloat16", None)),
    ],
)
def test_weights_in_bfloat16_come_with_an_optimizer_that_keeps_small_updates(
    text: str, expected: tuple[str, str | None]
) -> None:
    found = recipe_values(import_text(text))
    assert (found["train.precision"], found.get("train.optimizer.kind")) == expected


@pytest.mark.parametrize(
    ("text", "value", "fate"),
    [
        ("ac_mode: selective\nac_option: op", "selective", CARRIED),
        ("ac_mode: selective\nac_option: 2", "selective", CARRIED),
        ("ac_mode: full", True, CARRIED),
        ("ac_mode: selective\nenable_activation_checkpointing: true", True, IGNORED),
        ("ac_mode: some\nenable_activation_checkpointing: false", False, IGNORED),
    ],
)
def test_what_torchtune_computes_again(text: str, value: bool | str, fate: Fate) -> None:
    imported = import_text(f"{TUNED}{text}\n")
    assert recipe_values(imported)["train.activation_checkpointing"] == value
    assert fates(imported)["ac_mode"] is fate


def test_oumis_sampled_answers_and_classes() -> None:
    text = """model: {model_name: acme/brook}
data: {train: {datasets: [{dataset_name: openai/gsm8k}]}}
training: {trainer_type: VERL_GRPO, reward_functions: [gsm8k], grpo: {num_generations: 4, temperature: 0.8}}
"""
    values = recipe_values(import_text(text))
    assert values["task.kind"] == "reinforcement"
    assert values["task.group_size"] == 4
    assert values["data.fields.reference"] == "answer"
    (reward,) = values["task.rewards"]
    assert reward == {"kind": "numeric_match", "extract": r"#### (-?[0-9.,]+)"}
    for name, kind in {
        "CohereForAI/aya_dataset": "generation",
        "HuggingFaceFW/fineweb-edu": "pretraining",
        "Magpie-Align/Llama-3-Magpie-Pro-1M-v0.1": "chat",
    }.items():
        said = f"{OUMI}data: {{train: {{datasets: [{{dataset_name: {name}}}]}}}}\n"
        assert recipe_values(import_text(said))["task.kind"] == kind


def test_reward_models_and_streamed_text_of_axolotl() -> None:
    rows = "datasets: [{path: tickets.jsonl, type: bradley_terry.chat_template}]"
    text = f"base_model: acme/brook\nmicro_batch_size: 2\nreward_model: true\n{rows}\n"
    values = recipe_values(import_text(text))
    assert (values["task.kind"], values["data.fields.prompt"]) == ("reward", "input")
    streamed = (
        "base_model: acme/brook\nmicro_batch_size: 2\nmax_steps: 9\n"
        "pretraining_dataset: [{path: acme/web, type: pretrain, text_column: body, name: small}]\n"
    )
    imported = import_text(streamed)
    values = recipe_values(imported)
    assert (values["task.kind"], values["data.source.hub"]) == ("pretraining", "acme/web")
    assert values["data.fields.text"] == "body"
    fates = {key.key: key.fate.value for key in imported.keys}
    assert fates["pretraining_dataset[0].name"] == "not carried"


def test_a_reward_model_and_pairs_of_llama_factory() -> None:
    assert (
        recipe_values(import_text(FACTORY.replace("sft", "rm").replace("tickets_registered", "ranked")))["task.kind"]
        == "reward"
    )


def test_process_reward_models_of_axolotl_and_trl() -> None:
    rows = '[{path: steps.jsonl, type: stepwise_supervised, step_separator: "\\n\\n", train_on_last_step_only: false}]'
    text = f"base_model: acme/brook\nmicro_batch_size: 2\nprocess_reward_model: true\nnum_labels: 2\ndatasets: {rows}\n"
    wanted = {
        "task.kind": "reward",
        "task.loss": "step_cross_entropy",
        "task.step_separator": "\n\n",
        "data.fields.steps": "completions",
        "data.fields.step_labels": "labels",
    }
    assert wanted.items() <= recipe_values(import_text(text)).items()
    assert wanted.items() <= recipe_values(import_text(TRL + 'step_separator: "\\n\\n"')).items()
    problems = [finding.summary for finding in import_text(TRL + "train_on_last_step_only: true").reasons]
    assert "training on the last step alone is not supported" in problems[0]
