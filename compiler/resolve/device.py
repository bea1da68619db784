"""Turns `budget.device` into facts about a device: this machine's, or one of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable

from ftc.compiler.budget.devices import CARDS, has_bfloat16
from ftc.compiler.resolve.cpu import cpu_has_bfloat16, cpu_label, usable_memory_bytes, usable_threads
from ftc.compiler.resolve.nvml import LocalCard, local_cards
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.facts import DeviceFacts
from ftc.spec.nearest import nearest
from ftc.spec.quoted import quoted

__all__ = ["resolve_device"]

_SAME_MEMORY = 0.9  # a driver reports at least this part of the nominal size


def resolve_device(
    asked: str, span: Span | None = None, cards: Callable[[], list[LocalCard]] = local_cards
) -> DeviceFacts:
    """Facts of the device that a recipe asks for.

    Args:
        asked: `auto` for the first card of this machine or else its CPU, `cpu`, or a name of the catalogue.
        span: The place of the value in the recipe.
        cards: Lists this machine's cards.

    Raises:
        Refusal: FTC600, no such device.
    """
    if asked == "cpu":
        return _cpu()
    local = [_local(card) for card in cards()]
    if asked == "auto":
        return _counted(local[0], local) if local else _cpu()
    if same := [card for card in local if card.name == asked]:
        return _counted(same[0], same)
    if asked not in CARDS:
        raise Refusal([_unknown(asked, span)])
    card = CARDS[asked]
    return DeviceFacts(
        name=asked,
        kind="cuda",
        label=card.label,
        memory_bytes=card.memory_bytes,
        count=1,
        has_bfloat16=has_bfloat16(card.capability),
        threads=usable_threads(),
        local=False,
    )


def _cpu() -> DeviceFacts:
    return DeviceFacts(
        name="cpu",
        kind="cpu",
        label=cpu_label(),
        memory_bytes=usable_memory_bytes(),
        count=1,
        has_bfloat16=cpu_has_bfloat16(),
        threads=usable_threads(),
        local=True,
    )


def _local(card: LocalCard) -> DeviceFacts:
    return DeviceFacts(
        name=_catalogue_name(card),
        kind="cuda",
        label=card.label,
        memory_bytes=card.memory_bytes,
        count=1,
        has_bfloat16=has_bfloat16(card.capability),
        threads=usable_threads(),
        local=True,
    )


def _counted(card: DeviceFacts, local: list[DeviceFacts]) -> DeviceFacts:
    """The card with the number of its kind; cards of another kind don't train together with it."""
    return card.model_copy(update={"count": sum(other.name == card.name for other in local)})


def _catalogue_name(card: LocalCard) -> str:
    """The catalogue's name for a local card, or a name made of its label where the catalogue lacks it."""
    for name, known in CARDS.items():
        is_same_kind = known.capability == card.capability and _model(known.label) == _model(card.label)
        if is_same_kind and _SAME_MEMORY * known.memory_bytes <= card.memory_bytes <= known.memory_bytes:
            return name
    return re.sub(r"[^a-z0-9]+", "-", card.label.lower()).strip("-")


def _model(label: str) -> str:
    """The part of a label that names the model: `NVIDIA H100 80GB HBM3` and `NVIDIA H100 PCIe` are both `h100`."""
    words = label.lower().replace("-", " ").split()
    plain = [word for word in words if word not in ("nvidia", "tesla", "geforce", "rtx")]
    return " ".join(word for word in plain if not re.fullmatch(r"\d+gb|sxm\d|hbm\d\w?|pcie", word))


def _unknown(asked: str, span: Span | None) -> Diagnostic:
    near = nearest(asked, ("auto", "cpu", *CARDS))
    help = f"did you mean `{near}`?" if near else "use `auto`, `cpu`, or a card that the notes list"
    notes = f"known cards: {', '.join(CARDS)}"
    return diagnostic("FTC600", f"unknown device {quoted(asked)}", span, help=help, notes=notes, path="budget.device")
