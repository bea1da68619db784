"""Reward models that score written answers: a run's by its name, and what is known of any before rows are read."""

from __future__ import annotations

import re
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.beginning import EarlierRun
from ftc.compiler.resolve.models.companions import World, numbered_labels, pinned
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.compiler.resolve.models.parent import left_model
from ftc.spec.companions import Companion
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.reward_models import RewardModelFacts
from ftc.spec.language.safe_repr import quoted
from ftc.spec.sections.recipe import Recipe

__all__ = ["folder_of_run", "reward_model_facts"]

_TASK = "reward"
_HEAD = re.compile(r"(classifier|score|classification_head)(\.out_proj)?\.weight")
"""The last layer of the heads for sequences that transformers has."""
_LONGEST = 1_000_000
"""Tokens of a row for a model that names no limit."""


def folder_of_run(card: Companion, recipe: Recipe, lock: Lock | None, world: World) -> str:
    """The folder of the model that the named run left, as the recipe would call it.

    Raises:
        Refusal: The run can't be used; see `left_model`, or it trained no reward model (FTC459).
    """
    return _run(card, recipe, lock, world).beginning.base


def _run(card: Companion, recipe: Recipe, lock: Lock | None, world: World) -> EarlierRun:
    asked, path = card.asked(recipe), card.base(recipe)
    assert asked is not None, "the caller looked"
    kept = pinned(card, asked, lock).get("run")
    return left_model(asked.base, str(kept) if kept else None, world, path, _fits)


def _fits(plan: Plan, run_id: str) -> None:
    """Lets pass a run that trained a reward model of whole answers.

    Raises:
        Refusal: It did not (FTC459).
    """
    task = plan.recipe.task
    summary = ""
    if task.kind != _TASK:
        summary = f"run `{run_id}` trained no reward model: its task is `{task.kind}`"
    elif task.declared_labels is not None:
        summary = f"run `{run_id}` trained a process reward model, which scores the steps of an answer"
    if summary:
        help = "name a run of `task: {kind: reward}` with another `loss`; `ftc run list` lists the runs"
        raise Refusal([diagnostic("FTC459", summary, help=help)])


def reward_model_facts(
    card: Companion, model: ResolvedModel, recipe: Recipe, lock: Lock | None, world: World
) -> RewardModelFacts:
    """What is known of a reward model.

    Args:
        card: Its role.
        model: The model that the recipe names.
        recipe: The recipe.
        lock: The lock on disk.
        world: Where it was looked up.

    Raises:
        Refusal: It gives no single score (FTC459), or its files aren't those that the named run left (FTC563).
    """
    asked, path, facts = card.asked(recipe), card.base(recipe), model.facts
    assert asked is not None, "the caller looked"
    span = world.span_of(path)
    if asked.is_run and asked.revision is not None:
        where = card.revision(recipe)
        summary, help = "a run has no revision", "remove `revision`, or name the run by its id"
        raise Refusal([diagnostic("FTC459", summary, world.span_of(where), help=help, path=where)])
    config = read_json_object(model.folder / "config.json", span, path)
    if fault := _fault(model, config):
        help = "use a model that gives an answer one score, such as the result of `task: {kind: reward}`"
        summary = f"`{facts.name}` can't score answers: {fault}"
        raise Refusal([diagnostic("FTC459", summary, span, help=help, path=path)])
    run, mean, spread = None, 0.0, 1.0
    if asked.is_run:
        found = _run(card, recipe, lock, world)
        run = found.beginning.parent.run_id
        changed = [name for name, one in facts.files.items() if found.files.get(name) != one.sha256]
        if changed:
            summary = f"`{facts.name}` is not the model that run `{run}` left"
            what = [f"`{name}` {'has other contents' if name in found.files else 'is new'}" for name in changed]
            help = "restore the folder as it was when the run ended, or name another run"
            raise Refusal([diagnostic("FTC563", summary, span, notes=what, help=help, path=path)])
        if (rated := found.beginning.plan.settings.train.regression) is not None:
            ((mean, spread),) = ((one.mean, one.spread) for one in rated.scales)
    longest = facts.max_positions or _LONGEST
    return RewardModelFacts(model=facts, run=run, mean=mean, spread=spread, max_length=longest, path=path)


def _fault(model: ResolvedModel, config: dict[str, Any]) -> str:
    """Why a model gives an answer no single score; empty where it does."""
    facts = model.facts
    if facts.architecture.endswith("ForTokenClassification"):
        return "it scores the steps of an answer (a process reward model), and not the answer"
    if not facts.architecture.endswith("ForSequenceClassification"):
        return f"its class is {quoted(facts.architecture or 'none')}"
    if facts.family == "encoder_decoder":
        return "it reads an answer with an encoder and a decoder"
    heads = [header.shape for name, header in facts.tensors.items() if _HEAD.fullmatch(name)]
    if not any(shape[:1] == (1,) for shape in heads):
        labels = len(numbered_labels(config)) or max((shape[0] for shape in heads), default=0)
        return f"it has {labels} outputs" if labels > 1 else "its weights have no head with one output"
    return ""
