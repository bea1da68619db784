"""Rules of reward models that need the rows and what is settled; `check_facts` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.compiler.draft import ClosedDraft
from ftc.spec.companions import COMPANIONS
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["REWARD_MODEL_RULES", "licenses_are_allowed", "rows_fit"]


def rows_fit(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The longest prompt and the longest answer fit a reward model together."""
    sampling = draft.recipe.task.sampling
    of_eval = "eval" if sampling is None or draft.recipe.eval.max_new_tokens != "auto" else "task"
    for card in COMPANIONS:
        if (known := draft.reward_models.get(card.role)) is None:
            continue
        asked = {f"{of_eval}.max_new_tokens": draft.eval.max_new_tokens or 0}
        if sampling is not None and card.shapes_weights:  # it scores the answers of training, too
            asked["task.max_new_tokens"] = sampling.max_new_tokens
        key = max(asked, key=asked.__getitem__)
        longest, most = draft.frames[card.role].longest, asked[key]
        left = known.max_length - longest
        if most > left:
            yield diagnostic(
                "FTC459",
                f"prompts of up to {longest:,} tokens and answers of up to {most:,} exceed the {known.max_length:,} "
                f"positions of `{known.model.name}`",
                draft.source.span(known.path),
                help=f"write `{key}: {left}`" if left > 0 else "use a reward model that reads longer rows",
                path=known.path,
            )


def licenses_are_allowed(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """What weights are learned from has a license that the recipe allows."""
    allowed = draft.recipe.model.license
    beside = {role: known.model for role, known in draft.reward_models.items()}
    if draft.teacher is not None:
        beside["teacher"] = draft.teacher.model
    for card in COMPANIONS if allowed is not None else ():
        model = beside.get(card.role)
        if allowed is None or model is None or not card.shapes_weights or model.license in allowed.allow:
            continue
        found, path = model.license, card.base(draft.recipe)
        permitted = ", ".join(allowed.allow)
        summary = f"the {card.title}'s license is {found or 'not stated'}, the recipe allows {permitted}"
        another = f"choose another {card.title}"
        help = another if found is None else f"{another}, or add `{found}` to the list"
        yield diagnostic("FTC401", summary, draft.source.span(path), help=help, path=path)


REWARD_MODEL_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    rows_fit,
    licenses_are_allowed,
)
"""Every rule."""
