"""Reward models that score written answers: a run's by its name, and what is known of any before rows are read."""

from __future__ import annotations

import re
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.beginning import EarlierRun
from ftc.compiler.resolve.models.companions import World, numbered_labels, pinned
from ftc.compiler.resolve.models.model import ResolvedModel
from ftc.compiler.resolve.models.parent import left_model
from ftc.spec.companions import Asked, Companion
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.lockfile import Lock
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.reward_models import RewardModelFacts, StepReading
from ftc.spec.language.safe_repr import quoted
from ftc.spec.sections.recipe import Recipe
from ftc.spec.step_scores import STEP_AGGREGATES
from ftc.spec.tasks.reward import RIGHT

__all__ = ["folder_of_run", "reward_model_facts"]

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
    """Lets pass a run that trained a reward model.

    Raises:
        Refusal: It did not (FTC459).
    """
    task = plan.recipe.task
    if task.scored_unit is None:
        summary = f"run `{run_id}` trained no reward model: its task is `{task.kind}`"
        help = "name a run of `task: {kind: reward}`; `ftc run list` lists the runs"
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
    found = _run(card, recipe, lock, world) if asked.is_run else None
    steps = _steps(found, asked)
    if fault := _fault(model, config, steps):
        help = "use a model that gives an answer one score, such as the result of `task: {kind: reward}`"
        summary = f"`{facts.name}` can't score answers: {fault}"
        raise Refusal([diagnostic("FTC459", summary, span, help=help, path=path)])
    if steps is None and asked.aggregate is not None:
        where = f"{card.place(recipe)}.aggregate"
        summary = f"`aggregate` has no effect: `{facts.name}` scores an answer as a whole"
        raise Refusal([diagnostic("FTC459", summary, world.span_of(where), help="remove `aggregate`", path=where)])
    run, mean, spread = None, 0.0, 1.0
    if found is not None:
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
    return RewardModelFacts(model=facts, run=run, mean=mean, spread=spread, steps=steps, max_length=longest, path=path)


def _steps(found: EarlierRun | None, asked: Asked) -> StepReading | None:
    """How a run's model scores the steps of an answer; None for one that scores whole answers, or that no run left."""
    task = found.beginning.plan.recipe.task if found is not None else None
    if task is None or task.scored_unit != "steps":
        return None
    return StepReading(separator=task.separator, aggregate=asked.aggregate or STEP_AGGREGATES[0].kind, right=RIGHT)


def _fault(model: ResolvedModel, config: dict[str, Any], steps: StepReading | None) -> str:
    """Why a model gives an answer no single score; empty where it does."""
    facts = model.facts
    if facts.architecture.endswith("ForTokenClassification"):
        if steps is None:
            return (
                "it scores the steps of an answer (a process reward model), and its files don't say how rows join "
                "them; a run of `loss: step_cross_entropy` can be named, as `run:NAME`"
            )
        return "it reads an answer with an encoder and a decoder" if facts.family == "encoder_decoder" else ""
    if not facts.architecture.endswith("ForSequenceClassification"):
        return f"its class is {quoted(facts.architecture or 'none')}"
    if facts.family == "encoder_decoder":
        return "it reads an answer with an encoder and a decoder"
    heads = [header.shape for name, header in facts.tensors.items() if _HEAD.fullmatch(name)]
    if not any(shape[:1] == (1,) for shape in heads):
        labels = len(numbered_labels(config)) or max((shape[0] for shape in heads), default=0)
        return f"it has {labels} outputs" if labels > 1 else "its weights have no head with one output"
    return ""
