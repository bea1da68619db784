"""Whether fused kernels compute parts of layers in training."""

from __future__ import annotations

from typing import Any

from ftc.compiler.draft import Draft, Reasons
from ftc.compiler.search.candidates import device_counts
from ftc.spec.fused_kernels import EXTRA, LIGER, liger_parts
from ftc.spec.precisions import asks_float8

__all__ = ["check_kernels", "kernel_settings"]

_PROVEN = ("bitwise", "best_effort")


def kernel_settings(draft: Draft, why: Reasons) -> dict[str, Any]:
    """The parts; nothing where torch's own kernels compute all, with the reason where the recipe asks for others."""
    asked = draft.recipe.train.kernels
    obstacle = "torch's own are asked for" if asked == "torch" else _obstacle(draft)
    if obstacle is None:
        parts = liger_parts(draft.model.model_type, _activation(draft))
        known = f"{LIGER} is installed, and has them for `{draft.model.model_type}`"
        return {"kernels": why.take("kernels", parts) if asked == "liger" else why.derive("kernels", parts, known)}
    return {"kernels": why.derive("kernels", (), obstacle)} if asked == "liger" else {}


def check_kernels(draft: Draft) -> Draft:
    """Kernels that the recipe names can be had."""
    if draft.recipe.train.kernels != "liger" or draft.train.kernels:
        return draft
    summary, path = f"fused kernels are not used: {draft.origins['train.kernels'].reason}", "train.kernels"
    return draft.find("FTC674", summary, path, help="write `kernels: auto`, or leave `kernels` out")


def _obstacle(draft: Draft) -> str | None:
    """Why there are none; None where there are."""
    kind, label, train = draft.model.model_type, draft.device.label, draft.recipe.train
    obstacles = (
        (draft.device.kind != "cuda", f"they need a CUDA GPU, but the device is {label}"),
        (LIGER not in draft.packages, f"{LIGER} is not installed (`pip install 'ftc[{EXTRA}]'`)"),
        (not liger_parts(kind, None), f"{LIGER} has none for `{kind}`"),
        (draft.model.vision is not None, f"{LIGER}'s kernels for models that read images aren't used"),
        (device_counts(draft) != (1,), "they are used on one device alone"),
        (train.compile, "layers are compiled"),
        (asks_float8(train.precision), "products are in 8 bits"),
        (draft.recipe.writing is not None, "answers are written in training"),
        (train.determinism in _PROVEN, f"equal bits are asked for (`determinism: {train.determinism}`)"),
    )
    return next((reason for is_met, reason in obstacles if is_met), None)


def _activation(draft: Draft) -> str | None:
    """Of the feed-forward part: what config.json names, where it names one, or the type's own."""
    config = draft.model.config
    named = {value for key in ("hidden_act", "hidden_activation") if isinstance(value := config.get(key), str)}
    return named.pop() if len(named) == 1 else None if named else draft.model.kind.activation
