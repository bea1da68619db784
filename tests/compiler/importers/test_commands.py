"""Command lines that start a training: their words, places and variables, and the recipes that come out."""

from __future__ import annotations

import pytest

from ftc.compiler.importers.translate import import_configuration
from ftc.compiler.importers.translation import NO_TRAINING, Options, Surroundings
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.imported import Imported
from tests.compiler.importers.examples import recipe_values

MODEL = "--model_name_or_path acme/brook --dataset_name tickets.jsonl"


def imported(text: str, file: str = "train.sh") -> Imported:
    return import_configuration(text.encode(), file, options=Options(), around=Surroundings())


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("trl dpo", {"task.kind": "preference", "train.learning_rate": 1e-6}),
        ("python trl/scripts/dpo.py", {"task.kind": "preference"}),
        ("trl kto", {"task.kind": "preference", "task.loss": "kto"}),
        ("trl reward", {"task.kind": "reward", "train.learning_rate": 1e-4}),
        ("python examples/scripts/orpo.py", {"task.kind": "preference", "task.loss": "orpo"}),
        ("python cpo.py --cpo_alpha 0.5", {"task.loss": "cpo", "task.sft_weight": 0.5}),
        ("trl cpo --loss_type sigmoid", {"task.loss": "cpo"}),
        (
            "trl cpo --loss_type simpo --simpo_gamma 0.4",
            {"task.loss": "simpo", "task.gamma": 0.4, "task.sft_weight": 1},
        ),
        ("trl cpo --loss_type simpo --cpo_alpha 0", {"task.loss": "simpo", "task.sft_weight": 0, "task.beta": 0.1}),
        ("python -m trl.scripts.dpo", {"task.kind": "preference"}),
        ("trl rloo", {"task.kind": "reinforcement", "task.loss": "rloo"}),
        ("trl grpo --num_generations 4", {"task.kind": "reinforcement", "task.group_size": 4}),
        ("trl reward --use_peft --lora_task_type SEQ_CLS", {"task.kind": "reward", "strategy.kind": "lora"}),
        ("trl sft --dataset_text_field body", {"task.kind": "pretraining", "data.fields.text": "body"}),
    ],
)
def test_the_program_tells_the_task(program: str, expected: dict[str, object]) -> None:
    found = imported(f"{program} {MODEL}\n")
    assert found.recipe, found.reasons
    assert found.tool == "TRL"
    values = recipe_values(found)
    assert {path: values.get(path) for path in expected} == expected


def test_lines_that_go_on_variables_switches_and_what_stands_before_the_program() -> None:
    found = imported(
        """#!/bin/bash
# how we train
export MODEL=acme/brook
RATE=3e-5
accelerate launch --num_processes 4 \\
  trl/scripts/sft.py --model_name_or_path $MODEL \\
  --dataset_name=trl-lib/Capybara   --packing \\
  --learning_rate ${RATE} --no_gradient_checkpointing --use_peft --lora_target_modules q_proj v_proj \\
  --output_dir "$HOME/out"
"""
    )
    assert found.recipe, found.reasons
    values = recipe_values(found)
    assert values["model.base"] == "acme/brook"
    assert values["task.kind"] == "chat"
    assert values["train.learning_rate"] == 3e-5
    assert values["strategy.targets"] == ("q_proj", "v_proj")
    assert values["train.activation_checkpointing"] is False
    lines = {key.key: (key.line, key.fate.value) for key in found.keys}
    assert lines["launcher"] == (5, "not carried"), "how many processes there are is told, not lost"
    assert lines["learning_rate"] == (8, "carried")
    assert "$HOME" not in found.recipe, "the environment is never asked, and no value of it is made up"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo done\n", "the file has 0 commands with options"),
        (f"trl sft {MODEL}\ntrl dpo {MODEL}\n", "the file has 2 commands with options"),
        ("trl sft --config sft.yaml\n", "the command names a configuration"),
        ("trl sft --model_name_or_path 'acme\n", "a quote that this line doesn't close"),
    ],
)
def test_what_is_no_single_command_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(Refusal) as refusal:
        imported(text)
    assert refusal.value.diagnostics[0].code == "FTC390"
    assert words in refusal.value.diagnostics[0].summary


def test_commands_beside_it_and_where_it_writes_are_no_part_of_it() -> None:
    found = imported(f"cd work && trl sft {MODEL} --dataset_text_field body --learning_rate 1e-4 2>&1 | tee log.txt\n")
    assert found.recipe, found.reasons
    assert recipe_values(found)["train.learning_rate"] == 1e-4
    assert "launcher" not in {key.key for key in found.keys}


def test_a_number_sign_inside_a_word_begins_no_comment() -> None:
    text = f"trl sft {MODEL} --dataset_text_field body --run_name run#2 --learning_rate 3e-4  # don't lose it\n"
    assert recipe_values(imported(text))["train.learning_rate"] == 3e-4


def test_what_a_script_is_called_with_belongs_to_no_option() -> None:
    found = imported(f'trl sft {MODEL} --dataset_text_field body --learning_rate 3e-4 "$@"\n')
    assert recipe_values(found)["train.learning_rate"] == 3e-4


def test_a_model_in_a_variable_that_the_file_does_not_assign_is_named() -> None:
    found = imported("trl sft --model_name_or_path $MODEL --dataset_name trl-lib/Capybara\n")
    assert [reason.summary for reason in found.reasons] == ["`$MODEL` is a variable without a value in the file"]


def test_reward_functions_that_are_rewards_of_a_recipe_are_carried() -> None:
    said = imported(f"trl grpo {MODEL} --reward_funcs trl.rewards.think_format_reward\n")
    (reward,) = recipe_values(said)["task.rewards"]
    assert reward["kind"] == "regex"
    other = imported(f"trl grpo {MODEL} --reward_funcs think_format_reward mine.reward\n")
    assert recipe_values(other)["task.rewards"] == ({"kind": "exact_match"},)
    assert {key.key: key.fate.value for key in other.keys}["reward_funcs"] == "not carried", "one of them is code"


def test_a_reward_model_gives_rewards_beside_functions() -> None:
    scored = {"kind": "reward_model", "base": "acme/scorer"}
    alone = imported(f"trl grpo {MODEL} --reward_model_name_or_path acme/scorer\n")
    assert recipe_values(alone)["task.rewards"] == (scored,)
    both = imported(f"trl grpo {MODEL} --reward_model_name_or_path acme/scorer --reward_funcs think_format_reward\n")
    assert [one["kind"] for one in recipe_values(both)["task.rewards"]] == ["reward_model", "regex"]
    other = imported(f"trl grpo {MODEL} --reward_model_name_or_path acme/scorer --reward_funcs mine.reward\n")
    assert recipe_values(other)["task.rewards"] == (scored,)
    assert {key.key: key.fate.value for key in other.keys}["reward_funcs"] == "not carried"


def test_the_folder_of_a_reward_model_is_written_as_the_recipe_sees_it() -> None:
    around = Surroundings(locate=lambda path: f"../{path}" if path == "out/scorer" else None)

    def rewarded(model: str) -> Imported:
        text = f"trl grpo {MODEL} --reward_model_name_or_path {model}\n"
        return import_configuration(text.encode(), "train.sh", options=Options(), around=around)

    assert recipe_values(rewarded("out/scorer"))["task.rewards"] == ({"kind": "reward_model", "base": "../out/scorer"},)
    outside = rewarded("/data/scorer")
    assert recipe_values(outside)["task.rewards"] == ({"kind": "exact_match"},)
    assert {key.key: key.fate.value for key in outside.keys}["reward_model_name_or_path"] == "not carried"


@pytest.mark.parametrize("program", ["ppo.py", "grpo_vlm.py", "our_training.py"])
def test_a_program_of_its_own_is_named(program: str) -> None:
    reasons = imported(f"python {program} {MODEL}\n").reasons
    assert any("is none whose keys ftc reads" in reason.summary for reason in reasons)


def test_llama_factorys_command_has_its_keys() -> None:
    found = imported("llamafactory-cli train --stage sft --model_name_or_path acme/brook --finetuning_type lora\n")
    assert found.tool == "LLaMA-Factory"
    assert [reason.summary for reason in found.reasons] == ["no data set is named"]
    assert {key.key: key.fate.value for key in found.keys}["script"] == "not needed"


def test_conversations_of_a_public_data_set_are_known_and_what_differs_is_said() -> None:
    found = imported("trl sft --model_name_or_path acme/brook --dataset_name open-thoughts/OpenThoughts-114k\n")
    values = recipe_values(found)
    assert (values["task.kind"], values["data.fields.messages"]) == ("chat", "conversations")
    assert any("`system`" in one.reason for one in found.keys if one.key == "dataset_name")


def test_a_program_that_measures_trains_nothing() -> None:
    found = imported(f"python examples/scripts/ssd_eval.py {MODEL}\n")
    assert NO_TRAINING in [one.summary for one in found.reasons]
