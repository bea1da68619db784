"""A reward model counts in a plan: in memory beside the model in training, in time, and by how long rows it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.resolve.machine.device import resolve_device
from ftc.compiler.time.run_work import run_work
from ftc.spec.companions import Role
from ftc.spec.documents.reward_models import FrameFacts, RewardModelFacts
from ftc.spec.documents.streams import RowLengths
from tests.support.drafts import decided, draft_of, model_facts

CARD = resolve_device("rtx-4090", cards=list)
REWARDS = {"kind": "reward_model", "base": "./scorer"}


def lengths(count: int, tokens: int = 20) -> RowLengths:
    whole = np.full(count, tokens)
    return RowLengths(whole, whole, np.zeros(count, dtype=np.int64), whole)


def known(role: Role, layers: int, positions: int = 512) -> tuple[dict[Role, Any], dict[str, Any]]:
    model = model_facts(hidden=512, layers=layers, architecture="LlamaForSequenceClassification")
    own: dict[str, Any] = {"run": None, "mean": 0, "spread": 1, "steps": None}
    facts = RewardModelFacts(model=model, **own, max_length=positions, path="task.rewards[0].base")
    splits = ("train", "validation", "test") if role == "reward_model" else ("test",)
    frames = FrameFacts(sha256="a" * 64, tokens=dict.fromkeys(splits, 3000), longest=60)
    return {role: facts}, {role: frames}


def planned(role: Role | None, layers: int = 4, positions: int = 512) -> ClosedDraft:
    task: dict[str, Any] = {"kind": "generation"}
    if role != "eval_reward_model":
        task = {"kind": "reinforcement", "rewards": [{"kind": "exact_match"}], "group_size": 4, "max_new_tokens": 32}
    draft = draft_of(device=CARD, task=task, train={"batch_size": 8}, eval={"metrics": "auto"})
    draft = replace(draft, lengths={name: lengths(one.rows) for name, one in draft.splits.items()})
    if role is not None:
        models, frames = known(role, layers, positions)
        draft = replace(draft, reward_models=models, frames=frames)
    return decided(draft)


def components(draft: ClosedDraft, phase: str) -> dict[str, int]:
    assert draft.memory is not None
    return next((one.components for one in draft.memory.phases if one.phase == phase), {})


def test_a_rewarding_model_stays_in_memory_while_the_other_is_trained() -> None:
    alone, rewarded = planned(None), planned("reward_model")
    size = 2 * rewarded.reward_models["reward_model"].model.num_parameters  # bfloat16, as the run's frozen weights
    assert alone.memory is not None
    assert rewarded.memory is not None
    for one in alone.memory.phases:
        found = components(rewarded, one.phase)
        assert found["reward model"] == size
        assert sum(found.values()) >= one.peak_bytes
    reading = components(rewarded, "sampling: rewards")
    assert reading["reward model"] == size
    assert reading["temporaries"] > 0
    assert reading["optimiser state"] == components(alone, "save")["optimiser state"] > 0


@pytest.mark.parametrize(
    ("role", "phases"), [("reward_model", ("sample", "generate")), ("eval_reward_model", ("grade",))]
)
def test_its_passes_count_in_time(role: Role, phases: tuple[str, ...]) -> None:
    small, large = (run_work(planned(role, layers)) for layers in (4, 8))
    for phase in phases:
        for one, other in zip(small.phases[phase], large.phases[phase], strict=True):  # type: ignore[index]
            assert 0 < one.flops < other.flops
    assert small.phases["train"] == large.phases["train"]


def test_rows_that_it_cannot_read_are_refused() -> None:
    assert not [one for one in planned("reward_model").diagnostics if one.code == "FTC459"]
    (found,) = (one for one in planned("reward_model", positions=80).diagnostics if one.code == "FTC459")
    assert "exceed the 80 positions" in found.summary
    assert found.help == ("write `task.max_new_tokens: 20`",)
