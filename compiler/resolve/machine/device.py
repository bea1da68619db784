"""Turns `budget.device` into facts about a device; keeps what `ftc device calibrate` measured of it in ftc's cache."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.machine.local import (
    LocalCard,
    cpu_has_bfloat16,
    cpu_label,
    local_cards,
    usable_memory_bytes,
    usable_threads,
)
from ftc.spec import canonical
from ftc.spec.accelerators import Accelerator, accelerator_named
from ftc.spec.devices import ALIASES, CARDS, card_named, has_bfloat16
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.calibration import Calibration
from ftc.spec.documents.device import DeviceByHand, Speed
from ftc.spec.documents.facts import DeviceFacts
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.cache import Cache
from ftc.spec.storage.cached import CALIBRATIONS

__all__ = ["keep_calibration", "read_calibration", "resolve_device"]

_NO_MODEL = ("nvidia", "tesla", "geforce", "rtx", "workstation", "server", "edition")
_SAME_MEMORY = 0.9  # a driver reports at least this part of the nominal size
_FULL_MEMORY = 1.03  # and of some cards, whose nominal size is rounded down, a little more


def resolve_device(
    asked: str | DeviceByHand, span: Span | None = None, cards: Callable[[], list[LocalCard]] = local_cards
) -> DeviceFacts:
    """Facts of the device that a recipe asks for.

    Args:
        asked: `auto` for the first card of this machine or else its CPU, `cpu`, a name or alias of the catalog, or a
            card's figures.
        span: The place of the value in the recipe.
        cards: Lists this machine's cards.

    Raises:
        Refusal: FTC600, no such device; FTC415, figures for a card that the catalog knows.
    """
    if other := accelerator_named(asked.name if isinstance(asked, DeviceByHand) else asked):
        raise Refusal([_untrained(other, span)])
    if isinstance(asked, DeviceByHand):
        return _by_hand(asked, span)
    if asked == "cpu":
        return _cpu()
    local = [_local(card) for card in cards()]
    if asked == "auto":
        return _counted(local[0], local) if local else _cpu()
    name = card_named(asked) or asked
    if same := [card for card in local if card.name == name]:
        return _counted(same[0], same)
    if name not in CARDS:
        help: str | tuple[str, ...] = (
            "use `auto`, `cpu`, or a GPU that the notes list",
            "or describe it: `device: {name: my-gpu, memory: 48GiB}`",
        )
        if forms := [f"`{one}`" for one in CARDS if one.startswith(f"{asked}-")]:
            help = f"several versions exist: {', '.join(forms)}"
        elif near := nearest(asked, ("auto", "cpu", *CARDS, *ALIASES)):
            help = f"did you mean `{near}`?"
        summary, notes = f"unknown device {quoted(asked)}", f"known GPUs: {', '.join(CARDS)}"
        raise Refusal([diagnostic("FTC600", summary, span, help=help, notes=notes, path="budget.device")])
    card = CARDS[name]
    return DeviceFacts(
        name=name,
        kind="cuda",
        label=card.label,
        memory_bytes=card.memory_bytes,
        count=1,
        has_bfloat16=has_bfloat16(card.capability),
        threads=usable_threads(),
        local=False,
        capability=card.capability,
        speed=card.speed,
    )


def _untrained(other: Accelerator, span: Span | None) -> Diagnostic:
    help = ("use `cpu`, or an NVIDIA GPU", "`ftc device list` shows those that a plan can be made for elsewhere")
    notes = "memory, time and equal bits are known of CUDA's kernels and of CPUs, and not estimated for others"
    summary = f"ftc doesn't train on {other.label}"
    return diagnostic("FTC600", summary, span, help=help, notes=notes, path="budget.device")


def _by_hand(asked: DeviceByHand, span: Span | None) -> DeviceFacts:
    if asked.name in ("auto", "cpu", *CARDS):
        summary = f"`{asked.name}` is in ftc's list of GPUs, with other figures"
        help = (f"write `device: {asked.name}`", "or choose another name for the GPU")
        raise Refusal([diagnostic("FTC415", summary, span, help=help, path="budget.device")])
    rates = asked.throughput.model_dump(exclude_none=True)
    major, minor = map(int, asked.capability.split(".")) if asked.capability else (0, 0)
    return DeviceFacts(
        name=asked.name,
        kind="cuda",
        label=asked.name,
        memory_bytes=asked.memory,
        count=1,
        has_bfloat16=has_bfloat16((major, minor)) if asked.capability else "bfloat16" in rates,
        threads=usable_threads(),
        local=False,
        capability=(major, minor) if asked.capability else None,
        speed=Speed(flops=rates, bandwidth=asked.bandwidth, watts=asked.power, source="the recipe"),
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
    name = _catalog_name(card)
    return DeviceFacts(
        name=name,
        kind="cuda",
        label=card.label,
        memory_bytes=card.memory_bytes,
        count=1,
        has_bfloat16=has_bfloat16(card.capability),
        threads=usable_threads(),
        local=True,
        capability=card.capability,
        host_bytes=usable_memory_bytes(),
        speed=CARDS[name].speed if name in CARDS else None,
    )


def _counted(card: DeviceFacts, local: list[DeviceFacts]) -> DeviceFacts:
    """The card with the number of its kind; cards of another kind don't train together with it."""
    return card.model_copy(update={"count": sum(other.name == card.name for other in local)})


def _catalog_name(card: LocalCard) -> str:
    """The catalog's name for a local card, or a name made of its label where the catalog lacks it."""
    alike = [
        name
        for name, known in CARDS.items()
        if known.capability == card.capability
        and _model(known.label) == _model(card.label)
        and _SAME_MEMORY * known.nominal_bytes <= card.memory_bytes <= _FULL_MEMORY * known.nominal_bytes
    ]
    if alike:  # the same chip on boards of several forms: the one whose form the label names
        return max(alike, key=lambda name: len(_words(CARDS[name].label) & _words(card.label)))
    return re.sub(r"[^a-z0-9]+", "-", card.label.lower()).strip("-")


def _model(label: str) -> str:
    """The part of a label that names the model: `NVIDIA H100 80GB HBM3` and `NVIDIA H100 PCIe` are both `h100`."""
    words = label.lower().replace("-", " ").split()  # in their order, unlike `_words`
    plain = [word for word in words if word not in _NO_MODEL]
    return " ".join(word for word in plain if not re.fullmatch(r"\d+gb|sxm\d|hbm\d\w?|pcie", word))


def _words(label: str) -> set[str]:
    """The words of a label: `NVIDIA A100-SXM4-80GB` has `sxm4` where its sister has `pcie`."""
    return set(label.lower().replace("-", " ").split())


def read_calibration(cache: Path, device: DeviceFacts, threads: int) -> Calibration | None:
    """What was measured of this machine's device with so many threads; None where nothing was, or it can't be read.

    Args:
        cache: ftc's cache.
        device: Of a plan; for one that isn't here nothing can have been measured.
        threads: CPU threads of the run; a card's speed hardly hangs on them.
    """
    if not device.local:
        return None
    name, key = _entry(device, device.name, device.label, threads)
    if (kept := Cache(CALIBRATIONS.under(cache)).recall(name, key)) is None:
        return None
    try:
        return Calibration.model_validate_json(json.dumps(kept))
    except ValueError:
        return None


def keep_calibration(cache: Path, device: DeviceFacts, found: Calibration) -> Path:
    """Keeps a measurement in place of an older one, and tells where.

    Raises:
        OSError: The cache can't be written to.
    """
    name, key = _entry(device, found.device, found.label, found.threads)
    folder = CALIBRATIONS.under(cache)
    folder.mkdir(parents=True, exist_ok=True)
    Cache(folder).keep(name, key, found.to_json())
    if read_calibration(cache, device, found.threads) is None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return folder / name


def _entry(device: DeviceFacts, name: str, label: str, threads: int) -> tuple[str, dict[str, Any]]:
    """Name and key of what is remembered of a device."""
    key = {"kind": "calibration", "name": name, "label": label, "threads": threads if device.kind == "cpu" else 0}
    return f"{name}-{canonical.digest(key)[:12]}.json", key
