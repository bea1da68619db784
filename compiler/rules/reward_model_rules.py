"""Rules of reward models that need the rows and what is settled; `check_facts` runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ftc.compiler.draft import ClosedDraft
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["REWARD_MODEL_RULES", "answers_are_written", "licenses_are_allowed", "rows_fit"]


def rows_fit(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """The longest prompt and the longest answer fit a reward model together."""
    for role, known in draft.reward_models.items():
        longest, most = draft.frames[role].longest, draft.eval.max_new_tokens or 0
        if (sampling := draft.recipe.task.sampling) is not None:
            most = max(most, sampling.max_new_tokens)
        left = known.max_length - longest
        if most > left:
            keys = "task.max_new_tokens" if sampling is not None else "eval.max_new_tokens"
            yield diagnostic(
                "FTC459",
                f"prompts of up to {longest:,} tokens and answers of up to {most:,} exceed the {known.max_length:,} "
                f"positions of `{known.model.name}`",
                draft.source.span(known.path),
                help=f"write `{keys}: {left}`" if left > 0 else "use a reward model that reads longer rows",
                path=known.path,
            )


def answers_are_written(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A reward model scores what is written, and something is only written where a metric needs it."""
    if draft.recipe.eval.reward_model is not None and draft.eval.max_new_tokens is None:
        path, summary = "eval.reward_model", "no metric needs generated answers, which a reward model scores"
        help = "add a metric that needs generated answers to `eval.metrics`, such as `exact_match`"
        yield diagnostic("FTC459", summary, draft.source.span(path), help=help, path=path)


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
    answers_are_written,
    licenses_are_allowed,
)
"""Every rule."""
