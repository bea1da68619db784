"""Rules of what training begins from, a base model or an earlier run; `check_facts` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.lock.lockfile import leaves
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.documents.settings import OpenModel
from ftc.spec.heads import head_card
from ftc.spec.strategies import StrategySettings, strategy_card

__all__ = ["LINEAGE_RULES"]


def revision_needs_the_hub(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A folder has no revisions, and neither has a run."""
    asked = draft.recipe.model
    if asked.revision is None or (draft.model.source == "hub" and draft.begins is None):
        return
    yield diagnostic(
        "FTC230",
        f"`revision` has no effect: `{asked.base}` is a {'folder' if draft.begins is None else 'run'}",
        draft.source.span("model.revision"),
        help="remove `revision`, or name a model on the hub as `base`; the lock pins a folder by its files",
        path="model.revision",
    )


def _shape_of(strategy: StrategySettings) -> dict[str, Any]:
    """What has to be the same for an adapter to be trained further, by path: all but dropout, and how it was drawn."""
    plain = dict(leaves(strategy.to_json()))
    return {path: value for path, value in plain.items() if not path.endswith(("dropout", "init"))}


def adapter_is_continued_as_it_is(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The recipe's strategy is the one of the adapter, in kind and shape."""
    if draft.begins is None or not draft.begins.continues:
        return
    before = draft.begins.plan
    strategy, old, run = draft.strategy, before.settings.strategy, draft.begins.parent.run_id
    if (obstacle := _obstacle(strategy, old)) is not None:
        summary, notes = f"the adapter of run `{run}` can't be continued: {obstacle}", []
    else:
        ours, theirs = _shape_of(strategy), _shape_of(old)
        ours["model.add_tokens"], theirs["model.add_tokens"] = _added(draft.loaded), _added(before.settings.model)
        other = [path for path in sorted({*ours, *theirs}) if ours.get(path) != theirs.get(path)]
        if not other:
            return
        summary = f"the recipe's strategy is not that of run `{run}`, whose adapter it continues"
        notes = [f"`{path}` is {_shown(ours, path)}, the run has {_shown(theirs, path)}" for path in other[:8]]
    yield diagnostic(
        "FTC564",
        summary,
        draft.source.span("strategy"),
        notes=notes,
        help=(
            f"write the strategy of `{before.recipe_file}`",
            "or set `model.create_new_adapter: true`, which trains a new adapter on the run's merged model",
        ),
        path="strategy",
    )


def _added(model: OpenModel) -> list[str]:
    """Tokens that the vocabulary got, in their order: an adapter may hold their embeddings."""
    return [one.token for one in model.tokenizer.tokens] if model.tokenizer else []


def _obstacle(strategy: StrategySettings, old: StrategySettings) -> str | None:
    """Why no adapter of a kind can be trained further; None where it can."""
    if strategy.kind != old.kind:
        return f"it is of kind `{old.kind}`, the recipe says `{strategy.kind}`"
    if old.traits.num_virtual:
        return "of virtual tokens a run keeps what they lead to, and not what makes them"
    if not strategy_card(old).saves_what_it_trains:
        return "a run does not keep all that was trained of it"
    if old.traits.changes_base or strategy.traits.changes_base:
        return "an adapter that begins with the weight's own directions changes the base, too"
    return None


def _shown(values: Mapping[str, Any], path: str) -> str:
    return str(values[path]) if path in values else "not there"


def labels_stay(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A head that is trained further has the same outputs in the same order."""
    if draft.begins is None or not head_card(draft.loaded.head).is_new:
        return
    before = draft.begins.plan
    ours, theirs = draft.text.labels, before.settings.text.labels
    if (draft.loaded.head, ours) == (before.settings.model.head, theirs):
        return
    added, gone = (sorted(set(some) - set(others)) for some, others in ((ours, theirs), (theirs, ours)))
    notes = [f"new: {', '.join(added[:8])}"] if added else []
    notes += [f"missing: {', '.join(gone[:8])}"] if gone else []
    run = draft.begins.parent.run_id
    yield diagnostic(
        "FTC566",
        f"the head of run `{run}` has other outputs than the recipe's rows",
        draft.source.span("model.base"),
        notes=notes or [f"the run's head is `{before.settings.model.head}`: {', '.join(theirs[:8])}"],
        help=f"name the classes as the run has them: `task.labels: [{', '.join(theirs[:8])}]`",
        path="model.base",
    )


def new_adapter_has_a_run(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A new adapter is the only kind where no earlier run left one, or the strategy trains none."""
    if not draft.recipe.model.create_new_adapter:
        return
    parent = draft.begins.parent if draft.begins else None
    if parent is not None and parent.way == "merged" and not strategy_card(draft.strategy).is_whole:
        return
    why = "`model.base` names no run" if parent is None else f"run `{parent.run_id}` left a whole model"
    if parent is not None and parent.way == "merged":
        why = f"`{draft.strategy.kind}` trains no adapter, and begins from the merged model anyway"
    yield diagnostic(
        "FTC230",
        f"`create_new_adapter` has no effect: {why}",
        draft.source.span("model.create_new_adapter"),
        help="remove `create_new_adapter`",
        path="model.create_new_adapter",
    )


LINEAGE_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    revision_needs_the_hub,
    adapter_is_continued_as_it_is,
    labels_stay,
    new_adapter_has_a_run,
)
