"""What a merge says of itself: what was merged, where it lies, and how far it says what the adapter said."""

from __future__ import annotations

from collections.abc import Sequence

from ftc.spec.documents.merged import Agreement, MergedModel, Room
from ftc.spec.documents.plan import Plan
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped
from ftc.views.words import auto_class

__all__ = ["agreement_words", "merged_text"]


def merged_text(plan: Plan, merged: MergedModel, room: Room, folder: str, *, page: Page = PLAIN) -> str:
    """The answer of the verb.

    Args:
        plan: The run's plan.
        merged: What was made.
        room: What that could take.
        folder: Its folder as the user typed it.
        page: Width and colors.
    """
    found = merged.agreement
    loader = f'{auto_class(plan)}.from_pretrained("{folder}")'
    commit = f" at commit {merged.base_commit[:12]}" if merged.base_commit else ""
    lines = [
        *page.flow(
            "merged", [f"run {page.strong(merged.run_id)} of {escaped(merged.name)}", plan.settings.strategy.words()]
        ),
        *page.flow(
            "base",
            (
                f"{escaped(merged.base)}{commit}",
                f"weights {merged.added_to}",
                f"tensors {numbers.digest(merged.base_content_sha256)}",
            ),
        ),
        *page.flow("agrees", agreement_words(found)),
        *page.flow(
            "weights",
            (
                f"{numbers.magnitude(merged.num_parameters)} in {merged.weight_type}",
                f"{numbers.byte_size(merged.weight_bytes)} in {numbers.plural(len(merged.weight_files), 'file')}",
                f"tensors {numbers.digest(merged.content_sha256)}",
            ),
        ),
        *page.flow(
            "memory",
            (
                f"planned {numbers.byte_size(room.memory_bytes)} at most",
                f"beside {numbers.byte_size(room.mapped_bytes)} of files that are read where they are needed",
            ),
        ),
        *page.flow("files", [escaped(folder), numbers.plural(len(merged.files) + 2, "file")]),
        *[line for note in merged.notes for line in page.flow("note", [note])],
        *page.flow("load", [escaped(loader)]),
    ]
    return "\n".join(lines) + "\n"


def agreement_words(found: Agreement) -> Sequence[str]:
    """How alike the merged model answers, in parts."""
    rows = f"{numbers.plural(found.rows, 'row')} of {found.split}"
    return (
        f"on {rows} a score differs by {found.largest_difference:.2g} at most, {_percent(found.share)} of their spread",
        f"{_percent(found.allowed)} is allowed",
        f"{numbers.count(found.same_choices)} of {numbers.plural(found.choices, 'choice')} the same",
    )


def _percent(share: float) -> str:
    """A share of which the size counts, however small: `0.0003 %`."""
    return f"{100 * share:.2g} %"
