"""GKD's configurations, as TRL and Oumi have them, become recipes with a teacher and the model's own answers."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.spec.documents.imported import Fate
from tests.compiler.importers.examples import TRL, import_text, recipe_values

LESSON = "train.distillation."
OF_OUMI = (
    "model: {model_name: acme/brook}\n"
    "data: {train: {datasets: [{dataset_name: text_sft, dataset_path: tickets.jsonl}]}}\n"
    "training: {use_peft: false, trainer_type: TRL_GKD, gkd: {%s}}\n"
)


def lesson(text: str) -> dict[str, Any]:
    values = recipe_values(import_text(text))
    assert values["task.kind"] == "chat"
    return {key.removeprefix(LESSON): value for key, value in values.items() if key.startswith(LESSON)}


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (
            {"lmbda": 0.8, "beta": 0.3, "temperature": 0.7, "max_new_tokens": 64, "seq_kd": "false"},
            {
                "loss": "generalized_jsd",
                "beta": 0.3,
                "on_policy.lmbda": 0.8,
                "on_policy.temperature": 0.7,
                "on_policy.max_new_tokens": 64,
            },
        ),
        (
            {"beta": 1.0},
            {
                "loss": "reverse_kl",
                "on_policy.lmbda": 0.5,
                "on_policy.temperature": 0.9,
                "on_policy.max_new_tokens": 128,
            },
        ),
        ({"lmbda": 0}, {"loss": "jsd", "weight": 1, "temperature": 1}),
        (
            {"lmbda": 0, "seq_kd": "true", "max_new_tokens": 64},
            {
                "loss": "jsd",
                "weight": 1,
                "temperature": 1,
                "seq_kd.temperature": 0.9,
                "seq_kd.max_new_tokens": 64,
                "seq_kd.top_k": 0,
            },
        ),
    ],
)
@pytest.mark.parametrize("tool", ["trl", "oumi"])
def test_what_gkd_says_is_carried(tool: str, keys: dict[str, Any], wanted: dict[str, Any]) -> None:
    keys = {"teacher_model_name_or_path": "acme/brook-7b", **keys}
    lines = [f"{key}: {value}" for key, value in keys.items()]
    text = TRL + "\n".join(lines) + "\n"
    if tool == "oumi":
        text = OF_OUMI % ", ".join(lines)
    assert lesson(text) == {"teacher": "acme/brook-7b", **wanted}


def test_answers_of_the_model_and_of_the_teacher_are_not_mixed() -> None:
    imported = import_text(TRL + "teacher_model_name_or_path: acme/brook-7b\nseq_kd: true\ndisable_dropout: true\n")
    assert imported.recipe is None
    (reason,) = imported.reasons
    assert reason.code == "FTC392"
    assert "the model and the teacher write in turn" in reason.summary
    assert "lmbda: 0" in reason.help[0]
    dropped = {key.key for key in imported.keys if key.fate is Fate.NOT_CARRIED}
    assert {"seq_kd", "disable_dropout"} <= dropped


def test_a_teacher_with_another_tokenizer_is_carried() -> None:
    keys = "teacher_model_name_or_path: acme/other-7b\nuse_uld_loss: true\nlmbda: 0\nuld_crossentropy_weight: 0.5\n"
    assert lesson(
        TRL + keys + "uld_distillation_weight: 1.5\nuld_skip_student_eos: true\nmax_completion_length: 64\n"
    ) == {
        "teacher": "acme/other-7b",
        "loss": "uld",
        "weight": 0.75,
        "temperature": 1.0,
    }


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("", "written in training"),
        ("lmbda: 0\nuld_use_hybrid_loss: true\n", "beside one by rank"),
        ("lmbda: 0\nuld_student_temperature: 2\nuld_teacher_temperature: 1\n", "two temperatures"),
    ],
)
def test_what_a_loss_by_rank_does_not_have(keys: str, why: str) -> None:
    text = TRL + "teacher_model_name_or_path: acme/other-7b\nuse_uld_loss: true\n" + keys
    assert any(why in reason.summary for reason in import_text(text).reasons)


@pytest.mark.parametrize("tool", ["trl", "oumi"])
def test_gold_without_its_own_loss_is_gkd(tool: str) -> None:
    keys = ["teacher_model_name_or_path: acme/brook-7b", "use_uld_loss: false", "max_completion_length: 64"]
    keys += ["temperature: 0.8", "top_k: 40"]
    text = TRL + "\n".join(keys) + "\n"
    if tool == "oumi":
        text = OF_OUMI.replace("TRL_GKD, gkd", "TRL_GOLD, gold") % ", ".join(keys)
    assert lesson(text) == {
        "teacher": "acme/brook-7b",
        "loss": "jsd",
        "temperature": 0.8,
        "on_policy.lmbda": 0.5,
        "on_policy.temperature": 0.8,
        "on_policy.max_new_tokens": 64,
        "on_policy.top_k": 40,
    }
    assert "95 %" in str(import_text(text).recipe), "GOLD's default draws from fewer tokens"


def test_a_teacher_has_to_be_named() -> None:
    (reason,) = import_text(TRL + "lmbda: 0.5\n").reasons
    assert reason.summary == "no teacher is named"


def test_prompts_without_answers_are_refused_by_name() -> None:
    text = TRL + "teacher_model_name_or_path: acme/brook-7b\nmax_completion_length: 64\n"
    (reason,) = import_text(text).reasons
    assert "prompts without answers" in reason.summary
    assert "lmbda: 1" in reason.help[0]


def test_a_beta_that_is_no_number_is_named() -> None:
    imported = import_text(TRL + "teacher_model_name_or_path: acme/brook-7b\nbeta: much\n")
    (beta,) = [key for key in imported.keys if key.key == "beta"]
    assert (beta.fate, beta.reason) == (Fate.NOT_CARRIED, "`much` is not a number")
