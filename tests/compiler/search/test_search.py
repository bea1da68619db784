"""The solver takes the fastest way to run the job that fits, whatever the recipe leaves open."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftc.compiler.candidate import Candidate
from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.memory import by_closed_form, may_run
from ftc.compiler.search.candidates import WORTH_PACKING, pace_of, train_seconds
from ftc.compiler.time.run_work import run_work
from ftc.spec.checkpointing import Recomputing
from ftc.spec.devices import CARDS
from ftc.spec.documents.streams import RowLengths
from ftc.spec.optimizers import OptimizerKind
from ftc.spec.sections.model import AttentionKernel
from tests.support.drafts import CARD, decided, draft_of, model_facts, split_report

ADA = CARD.model_copy(update={"capability": (8, 9), "speed": CARDS["rtx-4090"].speed})
FACTS = model_facts(hidden=1024, layers=16, attention=("eager", "sdpa", "flash_attention_2"))
PACKAGES = frozenset(("bitsandbytes", "flash-attn"))
KERNELS: tuple[AttentionKernel, ...] = ("sdpa", "flash_attention_2")
EXACT: tuple[OptimizerKind, ...] = ("adamw", "adamw_paged")
ROUNDED: tuple[OptimizerKind, ...] = ("adamw_8bit", "adamw_8bit_paged")
SIZES = st.integers(700, 6000)


def job(mebibytes: int, *, batch: int = 8, packages: frozenset[str] = PACKAGES, **changes: Any) -> ClosedDraft:
    """Generation from rows of 20 to 400 tokens, decided."""
    sections: dict[str, Any] = {"task": {"kind": "chat"}, "strategy": {"kind": "full"}}
    train = {"batch_size": batch, "optimizer": {"kind": "auto"}, **changes.pop("train", {})}
    draft = draft_of(
        facts=changes.pop("facts", FACTS),
        device=changes.pop("device", ADA),
        train=train,
        budget=changes.pop("budget", {"vram": f"{mebibytes}MiB"}),
        **{**sections, **changes},
    )
    tokens = np.random.default_rng(3).integers(20, 401, 100)
    rows = RowLengths(tokens, tokens - 10, np.full(100, 10), tokens)
    report = split_report(100, tokens=int(tokens.sum()), length_max=int(tokens.max()))
    draft = replace(
        draft, packages=dict.fromkeys(packages), lengths={"train": rows}, splits={**draft.splits, "train": report}
    )
    return decided(draft)


def every_way(draft: ClosedDraft) -> list[Candidate]:
    """All ways to run such a job, by counting them up."""
    here = draft.candidate
    longest, batch = draft.splits["train"].length_max, draft.recipe.train.batch_size
    sizes = [size for size in range(1, batch + 1) if batch % size == 0]
    modes: tuple[Recomputing, ...] = (False, "selective", True)
    ways = product(sizes, modes, KERNELS, (*EXACT, *ROUNDED))
    found: list[Candidate] = []
    for size, mode, kernel, kind in ways:
        padded = replace(
            here,
            micro_batch=size,
            activation_checkpointing=mode,
            attention=kernel,
            optimizer=kind,
            packing=False,
            micro_batch_tokens=None,
        )
        narrow = max(longest, min(size * longest, draft.model.hidden_size))
        lengths = {size * longest} | ({narrow} if kernel == "sdpa" else set())
        found += [padded, *(replace(padded, packing=True, micro_batch_tokens=tokens) for tokens in lengths)]
    return found


@pytest.mark.slow
@given(mebibytes=SIZES)
@example(mebibytes=3548)
@settings(max_examples=12, deadline=None)
def test_no_way_that_fits_is_faster_by_a_tenth_than_the_one_taken(mebibytes: int) -> None:
    draft = job(mebibytes)
    seconds, taken = pace_of(draft), draft.candidate

    def is_worth_it(one: Candidate) -> bool:
        """No plan packs rows for a gain that the time model can't tell from none."""
        padded = replace(one, packing=False, micro_batch_tokens=None)
        return not one.packing or seconds(draft.at(one)) < WORTH_PACKING[draft.device.kind] * seconds(draft.at(padded))

    ways = filter(is_worth_it, every_way(draft))
    fitting = [one for one in ways if may_run(draft, by_closed_form(draft.at(one)))]
    assert draft.memory is not None
    assert bool(fitting) is may_run(draft, draft.memory)
    exact = [one for one in fitting if one.optimizer in EXACT]
    if fitting:
        assert (taken.optimizer in EXACT) is bool(exact)  # 8 bits only where nothing else fits
        assert taken in fitting
        assert seconds(draft.at(taken)) <= 1.1 * min(seconds(draft.at(one)) for one in exact or fitting)


@pytest.mark.slow
@given(small=SIZES, more=st.integers(0, 3000), kind=st.sampled_from((*EXACT, "adamw_8bit")))
@settings(max_examples=12, deadline=None)
def test_a_larger_card_is_never_slower(small: int, more: int, kind: str) -> None:
    one, other = (job(size, train={"optimizer": {"kind": kind}}) for size in (small, small + more))
    assert one.memory is not None
    if may_run(one, one.memory):
        assert other.memory is not None
        assert may_run(other, other.memory)
        assert math.log(train_seconds(other) / train_seconds(one), 1.1) < 1


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("host", "step"),
    [(64 * 2**30, 1500), (64 * 2**30, 500), (3 * 2**29, 500), (2**27, 500)],
    ids=["few cards", "much", "some", "little"],
)
def test_what_is_left_open_is_settled_with_its_reason(host: int, step: int) -> None:
    kinds, kernels = set(), set()
    for mebibytes in range(1500, 9001, step):
        draft = job(mebibytes, device=ADA.model_copy(update={"host_bytes": host}))
        kinds.add(draft.candidate.optimizer)
        kernels.add(draft.candidate.attention)
        assert draft.settings().train.fused is (draft.candidate.optimizer == "adamw")
        assert "auto" not in vars(draft.settings().train).values()
        reason = draft.origins["train.optimizer.kind"].reason
        assert ("float32 does not fit" in reason) is ("8bit" in draft.candidate.optimizer)
        assert draft.memory is not None
        assert draft.memory.ways > 10
    # Pages take 8 bytes of each of 0.2 milliards of weights in float32, and 2 in 8 bits.
    last = {64 * 2**30: "adamw_paged", 3 * 2**29: "adamw_8bit_paged", 2**27: "adamw_8bit"}[host]
    assert kinds - {"adamw_8bit"} == {"adamw", last} - {"adamw_8bit"}
    assert last in kinds
    assert kernels == {"sdpa", "flash_attention_2"}


@pytest.mark.parametrize(
    ("change", "kernel"),
    [
        ({"facts": model_facts(attention=("eager",), model_type="deberta-v2")}, "eager"),
        ({"facts": model_facts(attention=("eager", "flash_attention_2"))}, "flash_attention_2"),
        ({"facts": model_facts(attention=None)}, "sdpa"),
        ({"facts": model_facts(attention=("eager", "flash_attention_2")), "device": CARD.model_copy(
            update={"capability": (7, 5), "has_bfloat16": False})}, "eager"),
        ({"facts": model_facts(attention=("eager", "flash_attention_2")), "packages": frozenset()}, "eager"),
    ],
    ids=["formula alone", "formula or flash", "unknown", "old card", "not installed"],
)  # fmt: skip
def test_attention_is_one_that_model_device_and_packages_have(change: dict[str, Any], kernel: str) -> None:
    draft = job(8000, **change)
    assert draft.candidate.attention == kernel
    assert not [one for one in draft.diagnostics if one.is_error]


@pytest.mark.parametrize(
    ("model", "device", "words"),
    [
        ({"attention": "sdpa"}, CARD, "supports eager, but not sdpa"),
        ({"attention": "flash_attention_2"}, CARD.model_copy(update={"capability": (7, 5)}), "but not flash"),
    ],
)
def test_a_kernel_that_is_not_to_be_had_is_refused(model: dict[str, Any], device: Any, words: str) -> None:
    base = {"base": "models/tiny", **model}
    draft = job(8000, facts=model_facts(attention=("eager",)), device=device, model=base)
    (found,) = (one for one in draft.diagnostics if one.code == "FTC223")
    assert words in found.summary


def test_without_bitsandbytes_or_with_proofs_nothing_rounds() -> None:
    for draft in (job(1500, packages=frozenset()), job(1500, train={"determinism": "bitwise"})):
        assert draft.candidate.optimizer == "adamw"
        assert draft.memory is not None
        assert draft.memory.verdict != "fits"


def test_what_pages_move_takes_time() -> None:
    paged, whole = (job(8000, train={"optimizer": {"kind": kind}}) for kind in ("adamw_paged", "adamw"))
    assert train_seconds(paged) > 1.2 * train_seconds(whole)
    assert paged.work is not None
    steps, weights = paged.train.num_steps, paged.model.num_parameters
    assert paged.work.phases["train"].host_bytes == 16 * steps * weights


def test_devices_hold_parts_only_where_whole_models_do_not_fit() -> None:
    found: list[tuple[str, str]] = []
    for mebibytes in (9000, 2600, 1500):
        budget = {"vram": f"{mebibytes}MiB", "devices": 4}
        draft = job(mebibytes, budget=budget, train={"optimizer": {"kind": "adamw"}, "micro_batch": 1})
        assert draft.memory is not None
        assert draft.memory.verdict == "fits"
        found.append((draft.candidate.sharding, draft.candidate.offload))
        assert ("shards" in draft.origins["train.sharding"].reason) is (found[-1][0] == "fsdp")
    assert found == [("ddp", "none"), ("fsdp", "none"), ("fsdp", "cpu")]


@pytest.mark.parametrize("kind", ["qlora", "lora"])
def test_what_cannot_be_divided_stays_whole(kind: str) -> None:
    draft = job(1100, budget={"vram": "900MiB", "devices": 2}, strategy={"kind": kind}, train={"micro_batch": 1})
    assert (draft.candidate.sharding == "ddp") is (kind == "qlora")


def test_more_devices_never_hold_more_each() -> None:
    peaks = []
    for devices in (2, 4, 8):
        budget = {"vram": "9000MiB", "devices": devices}
        draft = job(9000, budget=budget, train={"micro_batch": 1, "sharding": "fsdp", "optimizer": {"kind": "adamw"}})
        peaks.append(by_closed_form(draft).allocated_bytes)
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[0] > peaks[-1]


def test_what_devices_exchange_takes_time_but_at_the_least_none() -> None:
    works = {}
    for sharding, offload in (("ddp", "none"), ("fsdp", "none"), ("fsdp", "cpu")):
        train = {"micro_batch": 1, "sharding": sharding, "offload": offload, "optimizer": {"kind": "adamw"}}
        draft = job(9000, budget={"vram": "20GiB", "devices": 2}, train=train)
        low, expected, _ = run_work(draft).phases["train"]
        works[sharding, offload] = (low.host_bytes, expected.host_bytes)
    assert works["ddp", "none"][0] == works["fsdp", "none"][0] == 0
    assert 0 < works["ddp", "none"][1] < works["fsdp", "none"][1]
    assert 0 < works["fsdp", "cpu"][0] < works["fsdp", "cpu"][1]


@pytest.mark.sample(1)
def test_recomputing_has_a_step_between_nothing_and_all() -> None:
    """With less memory more is computed again, and only where it has to be."""
    settled = {"micro_batch": 8, "packing": False, "optimizer": {"kind": "adamw"}}
    jobs = [job(size, packages=frozenset(), train=settled) for size in (9000, 6000, 5000)]
    assert [one.candidate.activation_checkpointing for one in jobs] == [False, "selective", True]
    seconds = [pace_of(one)(one) for one in jobs]
    assert seconds == sorted(seconds)
