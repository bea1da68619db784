"""The same job with other base models: the catalog's rows through the planner's own passes.

Rows keep the lengths that the recipe's own tokenizer gave them; everything else follows from the other model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ftc.compiler.base_models import facts_of, num_parameters
from ftc.compiler.draft import Draft
from ftc.compiler.lock.lockfile import lock_path, read_lock
from ftc.compiler.passes import decide
from ftc.compiler.pipeline import Past, up_to_rows
from ftc.compiler.rules.check import Checked
from ftc.spec.base_models import BASE_MODELS, READ_ON, BaseModel
from ftc.spec.documents.base_models import BaseModelPlan, BaseModelPlans
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.heads import head_card

__all__ = ["plan_other_bases"]


def plan_other_bases(checked: Checked, path: Path, *, offline: bool, past: Past) -> BaseModelPlans:
    """Plans a checked recipe with each model of the catalog that its task can use.

    Raises:
        Refusal: The recipe's own base model, data or device can't be used: rows are counted with its tokenizer.
    """
    _, _, draft = up_to_rows(checked, path, offline, past, read_lock(lock_path(path)))
    known = [(model, facts_of(model, draft.model.tokenizer)) for model in BASE_MODELS]
    writes = not all(head_card(mode.head).is_new for mode in draft.recipe.task.modes())  # which encoders can't
    found = [_planned(draft, model, facts) for model, facts in known if not writes or facts.family != "encoder"]
    found.sort(key=lambda one: (not one.fits, -one.parameters, one.name))
    return BaseModelPlans(
        recipe=draft.recipe.name,
        task=draft.recipe.task.kind,
        device=draft.device.name,
        read_on=READ_ON,
        counted_with=draft.model.name,
        models=tuple(found),
    )


def _planned(draft: Draft, model: BaseModel, facts: ModelFacts) -> BaseModelPlan:
    decided = decide(replace(draft, model=facts, traces=None, untraced="the model is not here"))
    problem = next((one.summary for one in decided.diagnostics if one.is_error), "")
    time, memory = decided.time, decided.memory
    longest = max((report.length_max for report in draft.splits.values()), default=0)
    return BaseModelPlan(
        name=model.name,
        parameters=num_parameters(model),
        max_positions=facts.max_positions,
        license=model.license,
        languages=model.languages,
        gated=model.gated,
        released=model.released,
        source=model.source,
        fits=not problem,
        problem=problem,
        memory_bytes=memory.peak_bytes if memory is not None else None,
        low_seconds=time.low_seconds if time is not None else None,
        high_seconds=time.high_seconds if time is not None else None,
        cost_low=time.cost_low if time is not None else None,
        cost_high=time.cost_high if time is not None else None,
        truncated=facts.max_positions is not None and longest > facts.max_positions,
    )
