"""Which attention kernels a draft can have: by its model's class in transformers, by its device, and by packages."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.compiler.search.device_catalog import kernels
from ftc.spec.sections.model import AttentionKernel

__all__ = ["flash_obstacle", "kernels_for_auto", "model_obstacle"]

_WIDEST_HEAD = 256


def model_obstacle(draft: Draft, kernel: AttentionKernel) -> str | None:
    """Why the model's class can't have a kernel; None where it can, or where transformers isn't there to tell."""
    known = draft.model.attention
    if not known or kernel in known:
        return None
    return f"transformers' class for `{draft.model.model_type}` has no {kernel}, but {' and '.join(known)}"


def flash_obstacle(draft: Draft) -> str | None:
    """Why flash attention's own package can't run on the device; None where it can."""
    device = draft.device
    if device.kind != "cuda":
        return f"flash attention needs a CUDA card, the device is {device.label}"
    if device.capability is not None and not kernels(device.capability)["flash attention"]:
        major, minor = device.capability
        return f"flash attention needs compute capability 8.0, {device.label} has {major}.{minor}"
    if draft.model.head_dim > _WIDEST_HEAD:
        return f"flash attention takes heads of up to {_WIDEST_HEAD} numbers, the model's have {draft.model.head_dim}"
    return None


def kernels_for_auto(draft: Draft) -> tuple[AttentionKernel, ...]:
    """What `attention: auto` chooses among, the one that it takes where all are as fast first.

    The plain formula is for models that have nothing else: it is never faster and never smaller. Flash attention's own
    package comes in where it is installed, in bfloat16, and where no equal bits are asked for.
    """
    found: list[AttentionKernel] = ["sdpa"] if model_obstacle(draft, "sdpa") is None else []
    proves = draft.recipe.train.determinism in ("bitwise", "best_effort")
    has_flash = "flash-attn" in draft.packages and draft.train.precision == "bfloat16" and not proves
    if has_flash and flash_obstacle(draft) is None and "flash_attention_2" in (draft.model.attention or ()):
        found.append("flash_attention_2")
    return tuple(found) or ("eager",)
