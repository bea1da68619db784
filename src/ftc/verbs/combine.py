"""`ftc run combine`: the adapters of several runs become one, which is a run of its own.

The new run has the plan of the first one, with a step that combines in the place of training. So it is evaluated,
shown, used, merged, exported and audited as any other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.combining import Combination, MethodName, combination
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.language.safe_repr import quoted
from ftc.spec.names import NAME_PATTERN
from ftc.verbs.provenance import refuse_faults
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.lineage import Combined
    from ftc.spec.documents.plan import Plan

__all__ = ["combine"]


def combine(
    runs: Sequence[Run | Path | str],
    *,
    weights: Sequence[float] | None = None,
    method: MethodName = "linear",
    density: float | None = None,
    seed: int | None = None,
    name: str | None = None,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Run:
    """Makes one LoRA adapter of those of several finished runs, and evaluates it on the first run's test split.

    Args:
        runs: Runs, their folders, ids or the beginnings of those, or their recipes' names.
        weights: What each adapter counts; None for equal weights that add up to 1.
        method: How they are combined, by peft's word.
        density: Share of the numbers that is kept, for methods that prune.
        seed: Decides which, for methods that draw; None for 0.
        name: Name of the new run's job; None for the first run's with `-combined` behind it.
        on_event: Hears of what goes on.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: A run isn't whole (FTC521 to FTC525, FTC539), they don't fit together (FTC569), or inputs aren't here.
    """
    found = [one if isinstance(one, Run) else find_run(str(one), folder) for one in runs]
    for one in found:
        refuse_faults(one)
    shares = [*weights] if weights is not None else [1 / len(found)] * len(found)
    if obstacles := [
        *_misnamed(name),
        *_unmet(combination(method), shares, density, seed),
        *_obstacles(found, shares, method),
    ]:
        raise Refusal(obstacles)
    plan = _plan(found, _combined(found, shares, method, density, seed or 0), name)
    from ftc.spec.storage.paths import RunFolder
    from ftc.verbs.apply import execute_planned
    from ftc.verbs.plan import Planned, located_plan

    def missing() -> Planned:
        help = f"`ftc plan {plan.recipe_file}` finds or makes them"
        raise Refusal([diagnostic("FTC569", "the first run's model or rows as tokens are not here", help=help)])

    planned = located_plan(plan, found[0].root, missing)
    recipe = RunFolder(found[0].folder).recipe
    planned = replace(planned, recipe_text=recipe.read_bytes() if recipe.is_file() else b"")
    return execute_planned(planned, listen=on_event or (lambda event: None), again=False)


def _misnamed(name: str | None) -> Iterator[Diagnostic]:
    """Why a run can't be called so."""
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        yield _refused(f"{quoted(name)} can't name a run", "use lower-case letters, digits, `.`, `_` and `-`")


def _unmet(
    card: Combination, weights: Sequence[float], density: float | None, seed: int | None
) -> Iterator[Diagnostic]:
    """What a method needs and isn't given, or is given and doesn't need."""
    if not all(map(math.isfinite, weights)):
        yield _refused("a weight is not a finite number", "give weights such as `0.7 0.3`")
    elif not any(weights):
        yield _refused("all weights are 0, so nothing of the adapters is left", "give weights such as `0.7 0.3`")
    if card.prunes and density is None:
        yield _refused(f"`{card.name}` keeps a share of the numbers", "give it as `--density`, such as `--density 0.5`")
    elif card.prunes and density is not None and not 0 < density <= 1:
        yield _refused(f"`--density {density:g}` is no share", "give a number above 0, 1 at most, such as 0.5")
    if not card.prunes and density is not None:
        yield _refused(f"`{card.name}` keeps all numbers, so `--density` has no effect", "remove `--density`")
    if not card.draws and seed is not None:
        yield _refused(f"`{card.name}` draws nothing, so `--seed` has no effect", "remove `--seed`")


def _obstacles(runs: Sequence[Run], weights: Sequence[float], method: MethodName) -> Iterator[Diagnostic]:
    """Why the adapters of runs can't be combined so."""
    card = combination(method)
    if len(runs) < 2 or len({one.record.id for one in runs}) < len(runs):
        yield _refused("two different runs or more are combined", "name each run once")
        return
    if len(weights) != len(runs):
        summary = f"there are {len(weights)} weights for {len(runs)} runs"
        yield _refused(summary, "give one weight per run, in their order")
        return
    first = runs[0]
    base = first.plan.lock.model.identity()
    for one in runs:
        if problem := _unfit(one.plan):
            yield _refused(f"the adapter of run `{one.record.id}` can't be combined: {problem}", "leave this run out")
        elif one.root != first.root:
            yield _refused(
                f"run `{one.record.id}` belongs to another project", "copy its folder into this project's runs"
            )
        elif one.plan.lock.model.identity() != base:
            summary = f"run `{one.record.id}` was trained on another base model than run `{first.record.id}`"
            yield _refused(summary, "combine runs of one base model", _named_base(first.plan), _named_base(one.plan))
        elif one.plan.settings.model.rope != first.plan.settings.model.rope:
            summary = f"run `{one.record.id}` was trained with other positions than run `{first.record.id}`"
            yield _refused(summary, "combine runs with the same `model.rope`", *map(_rotation, (first, one)))
        elif (ours := _form(one.plan)) != (theirs := _form(first.plan)):
            summary = f"the adapter of run `{one.record.id}` is not on the same modules as that of `{first.record.id}`"
            yield _refused(summary, "combine adapters with the same `strategy.targets`", str(theirs), str(ours))
        elif card.rank == "equal" and _adapter(one.plan).rank != _adapter(first.plan).rank:
            ranks = [f"run `{run.record.id}` has rank {_adapter(run.plan).rank}" for run in (first, one)]
            help = "use `--method cat` or `--method svd`, which take any ranks"
            yield _refused(f"`{method}` needs adapters of one rank", help, *ranks)


def _adapter(plan: Plan) -> Any:
    return getattr(plan.settings.strategy, "adapter", None)


def _form(plan: Plan) -> tuple[str, ...]:
    """What has to be the same beside the rank."""
    settings = plan.settings
    return (settings.strategy.kind, settings.model.head, *_adapter(plan).targets)


def _unfit(plan: Plan) -> str | None:
    """Why peft can't combine an adapter of this kind; None where it can."""
    strategy = plan.settings.strategy
    method = strategy.peft()
    if method is None or method.config != "LoraConfig":
        return f"its kind is `{strategy.kind}`, and peft combines LoRA alone"
    one, traits = _adapter(plan), strategy.traits
    if traits.new_modules or one.also_trained:
        return "modules that are trained whole, such as a class head, have no weighted sum"
    if one.dora or one.rank_stabilized or one.ranks:
        return "DoRA, rank-stabilized scales and ranks of single modules are lost in the sum"
    if one.token_ids:
        return "it has rows of the embedding for single tokens, which peft doesn't combine"
    if one.target_parameters:
        return "it adapts experts, whose tensors peft doesn't combine"
    return "its first directions were taken out of the base's weights" if traits.changes_base else None


def _named_base(plan: Plan) -> str:
    return f"{plan.settings.model.base}, tensors {plan.lock.model.content_sha256[:12]}"


def _rotation(run: Run) -> str:
    rope = run.plan.settings.model.rope
    how = f"`{rope.kind}` with factor {rope.factor:g}" if rope else "the base model's own rotation"
    return f"run `{run.record.id}` has {how}"


def _refused(summary: str, help: str, *notes: str) -> Diagnostic:
    return diagnostic("FTC569", summary, help=help, notes=notes)


def _combined(
    runs: Sequence[Run], weights: Sequence[float], method: MethodName, density: float | None, seed: int
) -> Combined:
    """What is combined, and how."""
    from ftc.spec.documents.lineage import Combined, CombinedAdapter

    card = combination(method)
    adapters = tuple(
        CombinedAdapter(
            run_id=run.record.id,
            name=run.plan.name,
            folder=(run.folder.resolve() / "adapter").relative_to(run.root).as_posix(),
            record_sha256=run.record.sha256,
            weights_sha256=run.record.final_weights_sha256 or "",
            weight=weight,
            rank=_adapter(run.plan).rank,
            alpha=_adapter(run.plan).alpha,
            alphas=_adapter(run.plan).alphas,
        )
        for run, weight in zip(runs, weights, strict=True)
    )
    kept, drawn = density if card.prunes else None, seed if card.draws else None
    return Combined(method=method, density=kept, seed=drawn, adapters=adapters)


def _plan(runs: Sequence[Run], made: Combined, name: str | None) -> Plan:
    """The first run's plan with a step that combines instead of training."""
    from ftc.spec.documents.plan import CombineStep
    from ftc.verbs.ready_made import ready_made_plan

    plan = runs[0].plan
    ranks = [one.rank for one in made.adapters]
    rank = {"equal": ranks[0], "sum": sum(ranks), "largest": max(ranks)}[combination(made.method).rank]
    adapter = _adapter(plan).model_copy(update={"rank": rank, "alpha": rank, "alphas": {}})  # peft's own scale
    named = ", ".join(f"{one.run_id} x {one.weight:g}" for one in made.adapters)
    others = [run.record.id for run in runs[1:] if run.plan.data.get("test") != plan.data.get("test")]
    unseen = [f"whether run {other} was trained on these test rows: it has others" for other in others]
    step = CombineStep(kind="combine", artifact="adapter", adapters=len(made.adapters))
    return ready_made_plan(
        plan,
        made,
        step,
        f"adapters combined by `{made.method}`: {named}",
        strategy=plan.settings.strategy.model_copy(update={"adapter": adapter}),
        name=name or f"{plan.name}-combined",
        not_checked=(*plan.not_checked, *unseen),
    )
