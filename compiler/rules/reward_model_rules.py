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
    """What a model's rewards are learned from has a license that the recipe allows."""
    allowed, known = draft.recipe.model.license, draft.reward_models.get("reward_model")
    if allowed is None or known is None or known.model.license in allowed.allow:
        return
    found = known.model.license
    summary = f"the reward model's license is {found or 'not stated'}, the recipe allows {', '.join(allowed.allow)}"
    another = "choose another reward model"
    help = another if found is None else f"{another}, or add `{found}` to the list"
    yield diagnostic("FTC401", summary, draft.source.span(known.path), help=help, path=known.path)


REWARD_MODEL_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    rows_fit,
    licenses_are_allowed,
)
"""Every rule."""
