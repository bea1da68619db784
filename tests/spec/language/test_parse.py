"""Every mistake in keys, types and values is told with code, place and fix, all in one pass."""

from __future__ import annotations

from typing import Any

import pytest

from ftc.spec.diagnostics import Diagnostic
from ftc.spec.language.foreign_keys import KEYS, VALUES
from ftc.spec.language.section_tree import sections_at
from ftc.spec.tasks.classification import Classification
from tests.support.recipes import parsed, plain_recipe, problems_of, recipe_text

SHORTEST = """\
ftc: 1
name: sms
task: {kind: classification}
data:
  source: {path: data/sms.csv}
  fields: {text: message, label: class}
model: {base: models/minilm}
strategy: {kind: lora}
"""


def one(text: str) -> Diagnostic:
    (found,) = problems_of(text)
    return found


def test_a_recipe_of_eight_lines_works() -> None:
    recipe = parsed()
    assert isinstance(recipe.task, Classification)
    assert not problems_of(SHORTEST)


def test_a_misspelled_key_names_the_nearest_and_mends_it() -> None:
    found = one(SHORTEST + "train: {learning_rat: 2e-4}\n")
    assert (found.code, found.label) == ("FTC104", "did you mean `learning_rate`?")
    assert found.span is not None
    assert (found.span.line, found.span.column, found.span.end_column) == (9, 9, 21)
    assert found.fixes[0].safe
    assert found.fixes[0].edits[0].text == "learning_rate"


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one() -> None:
    found = one(SHORTEST + "learning_rate: 2e-4\n")
    assert (found.code, found.label) == ("FTC104", "belongs in `train`")


@pytest.mark.parametrize(
    ("sections", "label", "help"),
    [
        ({"strategy": {"kind": "full", "rank": 8}}, "only for `kind: lora", "which `kind: full` does not have"),
        ({"task": {"kind": "generation", "max_new_tokens": 9}}, "only for `kind: rein", "move it to `eval`, "),
        ({"strategy": {"kind": "lora", "quantization": "nf4"}}, "only for `kind: qlora`", "write `kind: qlora`"),
        ({"strategy": {"kind": "lora", "lora_r": 8}}, "ftc calls it `rank`", "write `rank`"),
        ({"train": {"max_seq_length": 8}}, "ftc calls it `max_length`", "write `max_length` in `data`"),
        ({"train": {"eval_steps": 8}}, "ftc calls it `evaluate_every`", "write `evaluate_every`"),
        ({"train": {"save_steps": 8}}, "a name from other tools", "each evaluation also writes a checkpoint"),
        ({"train": {"schedule": {"warmup": 8}}}, "a name from other tools", "write `warmup_ratio`"),
        ({"budget": {"memory": "8GiB"}}, "ftc calls it `vram`", "write `vram`"),
        ({"train": {"per_device_eval_batch_size": 8}}, "ftc calls it `batch_size`", "write `batch_size` in `eval`"),
        ({"train": {"logging_steps": 8}}, "a name from other tools", "record of every step"),
        ({"train": {"train_on_inputs": True}}, "trains on prompts, too", "`kind: chat` alone has"),
        (
            {"task": {"kind": "chat", "train_on_inputs": True}},
            "trains on prompts, too",
            "write `train_on: all` in `task`;",
        ),
        ({"train": {"train_on_inputs": False}}, "answers alone are trained on", "remove it"),
        ({"train": {"assistant_only_loss": False}}, "trains on prompts, too", "`--fix` moves no key"),
        (
            {"data": {"source": {"path": "org/rows", "split": "train"}}},
            "names a split of",
            "write `hub: org/rows` in",
        ),
        (
            {"data": {"source": {"path": "data/a.csv", "split": "train"}}},
            "names a split of",
            "remove it: all rows",
        ),
        (
            {"data": {"source": {"path": "a.csv", "split": {"test": 0.1}}}},
            "belongs in `data`",
            "move `split` to `data`",
        ),
        ({"train": {"bf16": True}}, "a name from other tools", "write `precision: bfloat16` in `train`"),
    ],
)
def test_a_word_for_another_kind_or_of_another_tool(sections: dict[str, Any], label: str, help: str) -> None:
    (found,) = problems_of(recipe_text(**sections))
    assert found.code == "FTC104"
    assert found.label.startswith(label)
    assert help in found.help[0]
    is_rename = help in ("write `rank`", "write `evaluate_every`", "write `vram`")
    assert bool(found.fixes) == is_rename, (
        "a key of this section is renamed; what else was meant is for a person to judge"
    )


def test_words_of_other_tools_lead_to_places_of_the_language() -> None:
    for word, place in KEYS.items():
        section, _, key = place.rpartition(".")
        assert any(key in form.model_fields for form in sections_at(tuple(section.split(".")))), word
    assert not set(KEYS) & set(VALUES)


def test_a_key_of_the_top_level_is_sent_there() -> None:
    assert one(recipe_text(train={"strategy": {"kind": "full"}})).label == "belongs at the top level"


@pytest.mark.parametrize("key", ["ftc", "name", "task", "data", "model", "strategy"])
def test_every_section_without_default_is_asked_for(key: str) -> None:
    found = one(recipe_text(**{key: None}))
    assert (found.code, found.path) == ("FTC101", key)
    assert found.help


@pytest.mark.parametrize(
    ("section", "value", "code", "words"),
    [
        ("train", {"seed": "seven"}, "FTC102", "a whole number"),
        ("train", {"seed": True}, "FTC102", "a whole number"),
        ("train", {"batch_size": 0}, "FTC103", "can't be `0`"),
        ("train", {"epochs": -1}, "FTC103", "can't be `-1`"),
        ("train", {"learning_rate": float("nan")}, "FTC103", "can't be `.nan`"),
        ("train", {"learning_rate": float("inf")}, "FTC103", "can't be `.inf`"),
        ("train", {"micro_batch": "lots"}, "FTC102", "`auto` or a whole number"),
        ("train", {"precision": "fp16"}, "FTC105", "can't be `fp16`"),
        ("train", {"precision": "no"}, "FTC105", "can't be `no`"),
        ("train", {"schedule": {"kind": "cosin"}}, "FTC105", "can't be `cosin`"),
        ("strategy", {"kind": "lora", "rank": 0}, "FTC103", "can't be `0`"),
        ("strategy", {"kind": "lora", "dropout": 1.5}, "FTC103", "can't be `1.5`"),
        ("strategy", {"kind": "loar"}, "FTC105", "can't be `loar`"),
        ("strategy", {"rank": 4}, "FTC101", "`kind` is missing"),
        ("strategy", "lora", "FTC102", "a mapping"),
        ("budget", {"vram": "24Gib"}, "FTC103", "can't be `24Gib`"),
        ("budget", {"vram": 24}, "FTC103", "unit"),
        ("name", "Not A Name", "FTC103", "can't be `Not A Name`"),
        ("data", {"source": {"path": "a", "split": 1}}, "FTC104", "unknown key `split`"),
        ("eval", {"metrics": []}, "FTC103", "can't be a list"),
    ],
)
def test_values(section: str, value: object, code: str, words: str) -> None:
    found = one(recipe_text(**{section: value}))
    assert found.code == code
    assert words in f"{found.summary} {found.label} {' '.join(found.help)}"
    assert found.span is not None


def test_a_word_where_a_list_is_meant_is_put_into_brackets() -> None:
    found = one(recipe_text(strategy={"kind": "lora", "targets": "q_proj"}))
    assert (found.code, found.help) == ("FTC102", ("write `[q_proj]` for a list of one",))


@pytest.mark.parametrize("word", ["sft", "SFT", "chat"])
def test_a_task_by_another_tools_word_alone_is_put_into_a_mapping(word: str) -> None:
    found = one(recipe_text(task=word))
    assert (found.code, found.help) == ("FTC102", ("write `{kind: chat}`",))
    assert found.fixes[0].safe


def test_the_name_of_a_split_where_shares_are_meant_leads_to_both() -> None:
    found = one(recipe_text(data={"source": {"path": "a.csv"}, "split": "train"}))
    assert found.code == "FTC102"
    assert "`split: {validation: 0.1, test: 0.1}`" in found.help[0]
    assert "`source: {hub: OWNER/NAME, split: train}`" in found.help[0]


def test_a_wrong_item_of_a_list_is_one_mistake() -> None:
    found = one(recipe_text(strategy={"kind": "lora", "targets": ["q_proj", {"a": 1}]}))
    assert (found.code, found.path) == ("FTC102", "strategy.targets[1]")


def test_numbers_in_quotes_are_text_and_the_help_says_so() -> None:
    found = one(SHORTEST + 'train: {learning_rate: "2e-4"}\n')
    assert (found.code, found.help) == ("FTC102", ("remove the quotes",))


def test_numbers_and_words_of_yaml_among_texts_are_put_into_quotes() -> None:
    found = problems_of(recipe_text(task={"kind": "classification", "labels": [0, True]}))
    assert [one.help for one in found] == [('write `"0"`, in quotes',), ('write `"true"`, in quotes',)]
    assert [one.fixes[0].edits[0].text for one in found] == ['"0"', '"true"']


def test_a_whole_number_with_a_point_is_written_without() -> None:
    found = one(SHORTEST + "train: {batch_size: 16.0}\n")
    assert (found.help, found.fixes[0].edits[0].text) == (("write `16`",), "16")


def test_a_number_where_text_is_meant_is_the_text_as_written() -> None:
    recipe = parsed(name="2024")
    assert recipe.name == "2024"
    assert not problems_of(SHORTEST.replace("name: sms", "name: 007"))


def test_an_exponent_without_dot_is_a_number() -> None:
    assert parsed(train={"learning_rate": 5e-5}).train.learning_rate == 5e-5
    assert not problems_of(SHORTEST + "train: {learning_rate: 5e-5}\n")


def test_all_independent_mistakes_come_in_one_pass() -> None:
    found = problems_of(recipe_text(train={"batch_size": 0, "sed": 1}, strategy={"kind": "x"}, budget={"vram": "1"}))
    assert sorted(problem.code for problem in found) == ["FTC103", "FTC103", "FTC104", "FTC105"]


def test_another_language_version_is_told_alone() -> None:
    found = one(recipe_text(ftc=2, train={"sed": 1}))
    assert (found.code, found.path) == ("FTC105", "ftc")


def test_plain_recipe_is_what_the_tests_say() -> None:
    assert set(plain_recipe()) == {"ftc", "name", "task", "data", "model", "strategy"}


def test_a_loss_is_no_distance_to_a_teacher() -> None:
    loss = one(f"{SHORTEST}train: {{loss: focal}}\n")
    assert loss.code == "FTC103"
    assert "`focal_gamma`" in loss.help[0]
    assert "`distillation.loss`" in loss.help[0]
