"""Rules about models whose layers stay quantized in memory; `ftc.compiler.passes.check_facts` runs them."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.draft import ClosedDraft
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.quantized_files import quantized_files
from ftc.spec.shardings import UNDIVIDED, sharding_card

__all__ = ["PACKED_RULES", "packed_layers_stay_whole"]


def packed_layers_stay_whole(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Layers that stay quantized are neither rounded again nor divided among devices, which may hold all of each."""
    model, train = draft.model, draft.recipe.train
    if model.packed is None or model.quantized_files is None:
        return
    label = quantized_files(model.quantized_files).label
    if train.quantize_aware is not None:
        summary = f"{label} weights can't be rounded in training once more"
        yield _found(draft, summary, "train.quantize_aware", "remove `quantize_aware`")
    if train.sharding != "auto" and sharding_card(train.sharding).is_divided:
        help = f"write `sharding: {UNDIVIDED.kind}`, or choose the unquantized model"
        yield _found(draft, f"`{train.sharding}` can't divide {label} weights", "train.sharding", help)


PACKED_RULES = (packed_layers_stay_whole,)


def _found(draft: ClosedDraft, summary: str, path: str, help: str) -> Diagnostic:
    return diagnostic("FTC313", summary, draft.source.span(path), help=help, path=path)
