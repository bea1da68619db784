"""Several devices share each row where the recipe says so, or where nothing else fits, and the job can be done so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.memory import by_closed_form
from ftc.compiler.rules.check import check_recipe
from ftc.compiler.search.contexts import context_obstacle
from ftc.compiler.time.run_work import exchanged, run_work, train_amounts
from ftc.compiler.time.workload import draft_network
from ftc.spec.links import host_link, peer_link
from tests.compiler.search.test_device_counts import cards
from tests.support.drafts import CPU, decided, draft_of, model_facts, shaped, split_report
from tests.support.recipes import recipe_text

_FACTS = model_facts(hidden=4096, layers=4, max_positions=200_000)
_LONG = {"type": "longrope"}


def _open(length: int, facts: Any = _FACTS, **sections: Any) -> Draft:
    """Chat of rows of a length on four cards, a row at a time."""
    train = {"batch_size": 8, "packing": False, "micro_batch": 1, **sections.pop("train", {})}
    budget = {"devices": 4, **sections.pop("budget", {})}
    usual: dict[str, Any] = {"task": {"kind": "chat"}, "strategy": {"kind": "lora"}, "device": cards(4)}
    draft = draft_of(facts=facts, train=train, budget=budget, **usual | sections)
    long = {f"length_{name}": length for name in ("p50", "p95", "max")}
    reports = {
        name: split_report(
            one.rows,
            **long,
            tokens=length * one.rows,
            supervised_max=length // 2,
            supervised_tokens=length // 2 * one.rows,
        )
        for name, one in draft.splits.items()
    }
    return replace(draft, splits=reports)


def _job(length: int, **sections: Any) -> ClosedDraft:
    return decided(_open(length, **sections))


def _refusals(draft: ClosedDraft) -> list[tuple[str, str | None]]:
    return [(one.code, one.path) for one in draft.diagnostics if one.is_error]


def test_rows_are_shared_where_nothing_else_fits() -> None:
    one, two = _job(16_384), _job(65_536, budget={"vram": "24GiB"})
    assert one.candidate.context_parallel == 1
    assert one.settings().train.to_json().keys().isdisjoint({"context_parallel"}), "other plans stay as they are"
    assert two.candidate.context_parallel == 2
    assert two.memory is not None
    assert two.memory.verdict == "fits"
    assert two.origins["train.context_parallel"].reason == "nothing fits with fewer devices for each row"
    asked = _job(65_536, budget={"vram": "24GiB"}, train={"context_parallel": 1, "tensor_parallel": 1})
    assert _refusals(asked) in ([("FTC402", "budget.vram")], [("FTC405", "budget.vram")])


def test_a_device_holds_its_part_of_the_activations_and_all_keys() -> None:
    whole, half = (_job(16_384, train={"context_parallel": size, "micro_batch": 1}) for size in (1, 2))
    assert (half.candidate.row_shares, half.share_of_batch) == (2, 4)
    saved = [
        next(one for one in by_closed_form(draft).phases if one.phase == "forward: layers").components[
            "saved activations"
        ]
        for draft in (whole, half)
    ]
    keys = 2 * 16_384 * 4096 * 2 * 4  # keys and values of four layers in 16 bits, as long as the whole row
    assert saved[1] == saved[0] / 2 + keys / 2


def test_keys_and_their_gradients_cross_the_links() -> None:
    whole, half = (_job(16_384, train={"context_parallel": size}) for size in (1, 2))
    network, amounts = draft_network(half), train_amounts(half)
    gathered = 2 * 8192 * amounts.passes * 2 * 4096 * 2 * 4  # there and back: keys and values of the other device
    none = replace(amounts, tokens=0)
    more = exchanged(half, network, amounts, 1).host_bytes - exchanged(half, network, none, 1).host_bytes
    assert amounts.tokens == 8192 * amounts.passes
    assert more / host_link((8, 0)) == pytest.approx(gathered / peer_link("a100-80gb", (8, 0)))
    flops = [run_work(draft).phases["train"][1].flops for draft in (whole, half)]
    assert flops[1] == pytest.approx(flops[0], rel=0.05), "the same work for all of them, on as many devices"


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        ("attend to 512 tokens", {"facts": _FACTS.model_copy(update={"config": {"sliding_window": 512}})}),
        ("caps the scores", {"facts": _FACTS.model_copy(update={"config": {"attn_logit_softcapping": 50.0}})}),
        ("carry a state", {"facts": _FACTS.model_copy(update={"config": {"layer_types": ["linear_attention"]}})}),
        ("rotation is `longrope`", {"facts": _FACTS.model_copy(update={"config": {"rope_scaling": _LONG}})}),
        ("places of tokens as they are given", {"facts": _FACTS.model_copy(update={"model_type": "bloom"})}),
        ("supports eager", {"facts": _FACTS.model_copy(update={"attention": ("eager",)})}),
        ("virtual tokens", {"strategy": {"kind": "prompt_tuning"}}),
        ("neftune_alpha", {"train": {"neftune_alpha": 5}}),
        ("`attention: eager`", {"model": {"base": "model", "attention": "eager"}}),
        ("scores whole rows", {"task": {"kind": "preference"}}),
    ],
)  # fmt: skip
def test_jobs_that_cannot_be_done_so_are_refused_by_name(words: str, sections: dict[str, Any]) -> None:
    train = {"context_parallel": 2, **sections.pop("train", {})}
    draft = _job(1024, train=train, **sections)
    assert words in (context_obstacle(draft) or "")
    assert ("FTC717", "train.context_parallel") in _refusals(draft)


def test_other_jobs_are_not_shared_by_themselves() -> None:
    facts = _FACTS.model_copy(update={"config": {"sliding_window": 512}})
    assert _job(65_536, facts=facts, budget={"vram": "24GiB"}).candidate.context_parallel == 1


def test_devices_make_up_whole_groups() -> None:
    for devices, code in ((3, ["FTC717"]), (4, []), (2, [])):
        text = recipe_text(budget={"devices": devices}, train={"context_parallel": 2, "batch_size": 8})
        assert [one.code for one in check_recipe(text.encode(), "recipe.yaml").diagnostics if one.is_error] == code
    alone = shaped(_open(100, budget={"devices": "auto"}, device=CPU, train={"context_parallel": 2}))
    assert ("FTC717", "train.context_parallel") in _refusals(decided(alone))


def test_a_row_is_enough_for_a_group() -> None:
    draft = _job(100, train={"context_parallel": 4, "batch_size": 1})
    assert not _refusals(draft)
    assert draft.candidate.row_shares == 1
