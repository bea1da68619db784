"""Modules that are trained whole beside an adapter: which ones can be."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ftc.spec.heads import head_card
from ftc.spec.strategies.adapter_settings import lies_in
from ftc.spec.strategies.card import Base, Problem

__all__ = ["misplaced"]


def misplaced(ends: tuple[str, ...], base: Base, adapted: Collection[str], *, packs: bool) -> Iterator[Problem]:
    """Modules trained whole exist, share no weights with others, and hold no adapter.

    Args:
        ends: What their names end in.
        base: The base model.
        adapted: Full names of what an adapter stands beside.
        packs: Whether linear layers are quantized.
    """
    model = base.model
    for position, end in enumerate(ends):
        inside = [name for name in model.linear_modules if lies_in(f"{name}.", end)]
        own = {name: one for name, one in model.tensors.items() if lies_in(name, end)}
        is_embedding = any(one.shape == (model.vocab_size, model.hidden_size) for one in own.values())
        if sum(one.num_elements for one in own.values()) == 0:
            what = f"`{model.name}` has no weights of a module `{end}`"
            help = "name a module as in the model's weight files, such as `embed_tokens` or `norm`"
        elif model.tied_embeddings and head_card(base.head).writes and is_embedding:
            what = f"`{end}` shares its weights with the output layer"
            help = "remove it, or choose a model whose embeddings are not tied"
        elif any(lies_in(f"{name}.", end) for name in adapted):
            what, help = f"`{end}` has adapters inside", "remove it, or exclude these modules from `targets`"
        elif inside and packs:
            what = f"`{end}` is quantized, and such weights can't be trained"
            help = "remove it" if model.packed else "remove it, or write `kind: lora`"
        else:
            continue
        yield Problem("FTC271", what, f"modules_to_save[{position}]", help)
