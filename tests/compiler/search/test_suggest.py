"""What is told to fit does fit, at the peak that is told, once the text is edited as told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.passes import decide
from ftc.compiler.recipes.edits import changed_recipe, edit_of, with_fixes
from ftc.compiler.rules.recipe_rules import check_rules
from ftc.compiler.search.suggest import with_suggestions
from ftc.spec.diagnostics import Diagnostic, Fix, TextEdit, diagnostic
from ftc.spec.language.parse import parse_recipe
from tests.support.drafts import CARD, draft_of, model_facts, shaped, split_report
from tests.support.recipes import read, recipe_text

FILE = "recipe.yaml"
FACTS = model_facts(hidden=1024, layers=16, vocab_size=1000, attention=("eager", "sdpa", "flash_attention_2"))
LOCAL = CARD.model_copy(update={"capability": (8, 9), "host_bytes": 64 * 2**30})


def undecided(text: str) -> Draft:
    source = read(text)
    recipe, findings = parse_recipe(source)
    assert recipe is not None, findings
    draft = replace(draft_of(facts=FACTS, device=LOCAL), recipe=recipe, source=source)
    longest = recipe.data.max_length if isinstance(recipe.data.max_length, int) else 400
    cut = {name: split_report(one.rows, length_max=min(400, longest)) for name, one in draft.splits.items()}
    draft = replace(draft, labels=(), splits=cut, packages=dict.fromkeys(("bitsandbytes", "flash-attn")))
    return shaped(draft)


def refusal(text: str) -> Diagnostic:
    draft = undecided(text)
    found = with_suggestions(draft, decide(draft), decide, decide).diagnostics
    return next(one for one in found if one.code in ("FTC402", "FTC405"))


def edited(text: str, fix: Fix) -> str:
    finding = diagnostic("FTC402", "…", fixes=[replace(fix, safe=True)])
    return with_fixes(text, FILE, [finding])[0]


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"train": {"batch_size": 64, "micro_batch": 64, "activation_checkpointing": False}}, ["train.micro_batch"]),
        ({"train": {"micro_batch": 16, "activation_checkpointing": False}}, ["train.activation_checkpointing"]),
        ({"train": {"micro_batch": 16, "activation_checkpointing": "selective"}}, ["train.activation_checkpointing"]),
        ({"strategy": {"kind": "full"}}, ["strategy"]),
        ({"train": {"micro_batch": 1, "activation_checkpointing": True}}, ["budget.allow_tight"]),
        ({"strategy": {"kind": "full"}, "train": {"micro_batch": 16, "activation_checkpointing": False}}, ["two"]),
        (
            {"strategy": {"kind": "full"}, "train": {"micro_batch": 1, "activation_checkpointing": True}},
            ["train.optimizer.kind", "strategy"],
        ),
        (
            {
                "model": {"attention": "eager"},
                "train": {"micro_batch": 2, "packing": False, "activation_checkpointing": False},
            },
            ["model.attention"],
        ),
        (
            {"train": {"packing": True, "micro_batch_tokens": 6400, "activation_checkpointing": False}},
            ["train.micro_batch_tokens"],
        ),
    ],
    ids=[
        "micro-batch",
        "recomputing",
        "more of it",
        "full",
        "tight",
        "two at once",
        "optimiser",
        "attention",
        "packing length",
    ],
)
def test_each_change_fits_at_its_peak_once_the_text_says_it(changes: dict[str, Any], paths: list[str]) -> None:
    vram = {
        **{"budget.allow_tight": "1000MiB", "train.activation_checkpointing": "3GiB", "two": "1700MiB"},
        **{"train.optimizer.kind": "3300MiB", "model.attention": "2200MiB"},
    }.get(paths[0], "2GiB")
    changes = {**changes, "model": {"base": "models/tiny", **changes.get("model", {})}}
    text = recipe_text(task={"kind": "chat"}, budget={"vram": vram}, **changes)
    finding = refusal(text)
    assert finding.fixes
    told = [fix.title.removeprefix("write `").partition(":")[0] for fix in finding.fixes]
    assert set(paths) <= {*told, *(["two"] if all(len(fix.edits) == 2 for fix in finding.fixes) else [])}
    for fix, line in zip(finding.fixes, finding.help, strict=True):
        after = decide(undecided(edited(text, fix)))
        assert not [one for one in after.diagnostics if one.is_error]
        assert after.memory is not None
        assert f"needs {after.memory.peak_bytes / 2**30:.2f} GiB" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "vram"),
    [
        ({"offload": "none", "batch_size": 8}, "1600MiB"),
        ({"micro_batch": 6, "batch_size": 6, "sharding": "ddp"}, "2GiB"),
    ],
    ids=["offload without sharding", "a micro-batch larger than a share"],
)
def test_no_change_breaks_a_rule_of_the_recipe(train: dict[str, Any], vram: str) -> None:
    text = recipe_text(
        task={"kind": "chat"}, strategy={"kind": "full"}, train=train, budget={"devices": 2, "vram": vram}
    )
    fixes = refusal(text).fixes
    assert fixes
    for fix in fixes:
        source = read(edited(text, fix))
        recipe, _ = parse_recipe(source)
        assert recipe is not None
        assert not [found for found in check_rules(recipe, source) if found.is_error]


@pytest.mark.slow
def test_a_whole_model_that_does_not_fit_is_offered_weights_in_bfloat16() -> None:
    """An adapter is not, whose weights are few."""
    train: dict[str, Any] = {"micro_batch": 1, "activation_checkpointing": True}
    budget = {"vram": "3200MiB", "devices": 1}
    text = recipe_text(task={"kind": "chat"}, strategy={"kind": "full"}, train=train, budget=budget)
    assert "`train.precision: pure_bfloat16` needs" in " ".join(refusal(text).help)
    train["optimizer"] = {"kind": "adamw"}
    text = recipe_text(task={"kind": "chat"}, strategy={"kind": "full"}, train=train, budget=budget)
    told = "`train.precision: pure_bfloat16` and `train.optimizer.kind: adamw_kahan` needs"
    assert told in " ".join(refusal(text).help)
    adapter = recipe_text(task={"kind": "chat"}, budget={"vram": "800MiB"}, train={"micro_batch": 16})
    assert "pure_bfloat16" not in " ".join(refusal(adapter).help)


def test_what_fits_gets_no_advice() -> None:
    draft = undecided(recipe_text(task={"kind": "chat"}))
    decided = decide(draft)
    assert with_suggestions(draft, decided, decide, decide) is decided


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: 1\ntrain: {epochs: 2}\n", "a: 1\ntrain: {micro_batch: 2, epochs: 2}\n"),
        ("a: 1\ntrain: {}\n", "a: 1\ntrain: {micro_batch: 2}\n"),
        ("train:\n  epochs: 2  # two\na: 1\n", "train:\n  micro_batch: 2\n  epochs: 2  # two\na: 1\n"),
        ("train:\n  micro_batch: 16\n", "train:\n  micro_batch: 2\n"),
        ("a: 1\n", "a: 1\ntrain: {micro_batch: 2}\n"),
        ("a: 1", "a: 1\ntrain: {micro_batch: 2}"),
    ],
)
def test_an_edit_keeps_the_style_of_the_text(text: str, after: str) -> None:
    edit = edit_of(read(text), "train.micro_batch", 2)
    assert isinstance(edit, TextEdit)
    assert edited(text, Fix("", (edit,))) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: 1\n", "a: 1\ntrain: {optimizer: {kind: sgd}}\n"),
        ("train: {epochs: 2}\n", "train: {optimizer: {kind: sgd}, epochs: 2}\n"),
        ("train:\n  optimizer:\n    beta1: 0.8\n", "train:\n  optimizer:\n    kind: sgd\n    beta1: 0.8\n"),
        ("train:\n  optimizer: {kind: adamw}\n", "train:\n  optimizer: {kind: sgd}\n"),
    ],
)
def test_an_edit_finds_the_innermost_section_that_is_there(text: str, after: str) -> None:
    edit = edit_of(read(text), "train.optimizer.kind", "sgd")
    assert isinstance(edit, TextEdit)
    assert edited(text, Fix("", (edit,))).rstrip() == after.rstrip()


def test_a_changed_recipe_is_a_checked_one() -> None:
    recipe = draft_of().recipe
    assert changed_recipe(recipe, "train.micro_batch", 2).train.micro_batch == 2
    with pytest.raises(ValueError, match="micro_batch"):
        changed_recipe(recipe, "train.micro_batch", 0)


def test_of_many_lengths_of_rows_few_are_tried_and_the_longest_that_fits_is_told() -> None:
    train = {"micro_batch": 1, "batch_size": 1, "packing": False, "activation_checkpointing": False}
    text = recipe_text(task={"kind": "chat"}, budget={"vram": "2GiB"}, train=train)
    draft = undecided(text)
    draft = replace(
        draft,
        splits={name: split_report(one.rows, length_max=6400) for name, one in draft.splits.items()},
    )
    asked: list[int] = []

    def by_form(one: Draft) -> ClosedDraft:
        length = one.recipe.data.max_length
        asked.extend([length] if isinstance(length, int) else [])
        return decide(one)

    found = with_suggestions(draft, decide(draft), by_form, decide).diagnostics
    refused = next(one for one in found if one.code == "FTC402")
    (told,) = [fix.title for fix in refused.fixes if "max_length" in fix.title]
    longest = int(told.removeprefix("write `data.max_length: ").removesuffix("`"))
    assert longest < 6400 - 10 * 64
    assert longest + 64 in asked, "the next longer one doesn't fit"
    assert len(set(asked)) <= 10
