"""Rules about vectors of texts that need the model; `ftc.compiler.passes.check_facts` runs them."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.draft import ClosedDraft
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["vectors_can_be_pooled"]


def vectors_can_be_pooled(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A decoder's first token has read nothing else, and a shortened vector is shorter than the whole one."""
    vectors, hidden = draft.train.embedding, draft.model.hidden_size
    if vectors is None:
        return
    if vectors.pooling == "cls" and draft.loaded.family == "decoder":
        path, help = "task.pooling", "write `pooling: last` or `pooling: mean`"
        summary = "the first token of a decoder has not read the text, so its state says nothing about it"
        yield diagnostic("FTC462", summary, draft.source.span(path), help=help, path=path)
    if too_long := [length for length in vectors.matryoshka if length > hidden]:
        path, help = "task.matryoshka", f"write lengths below {hidden:,}"
        summary = f"a vector of `{draft.model.name}` has {hidden:,} components, fewer than {too_long[0]:,}"
        yield diagnostic("FTC461", summary, draft.source.span(path), help=help, path=path)
