"""Attention kernels of torch as a model on tensors without memory sees them: what each allocates and keeps.

Without memory torch knows only the plain formula, which holds all scores. On a device it chooses among fused kernels
that hold none, by rules about types, masks and hardware. `choose` is the table of these rules; the functions stand in
for the kernels and are registered with transformers under one name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_never

import torch

__all__ = ["IMPLEMENTATION", "KernelRules", "choose", "register"]

IMPLEMENTATION = "ftc_traced"
"""Name under which the chosen kernel is registered with transformers."""

Kernel = Literal["flash", "efficient", "math"]

_FLASH_DTYPES = (torch.float16, torch.bfloat16)
_LARGEST_FLASH_HEAD = 256


@dataclass(frozen=True, slots=True)
class KernelRules:
    """What decides about kernels, apart from the tensors.

    Attributes:
        capability: CUDA's (major, minor), or None for a processor.
        has_flash: Whether torch was built with its flash kernels.
        efficient_takes_groups: Whether the memory-efficient kernel takes fewer heads of keys than of queries; torch
            2.6 refuses them.
    """

    capability: tuple[int, int] | None
    has_flash: bool = True
    efficient_takes_groups: bool = True


def choose(
    rules: KernelRules, dtype: torch.dtype, *, has_mask: bool, groups: int, head_dim: int, dropout: float = 0.0
) -> Kernel:
    """The kernel that torch takes for scaled dot-product attention.

    Args:
        rules: Device and build.
        dtype: Of queries, keys and values.
        has_mask: Whether a mask is passed; causality alone needs none.
        groups: Query heads that share a head of keys; 1 where they were repeated before.
        head_dim: Size of a head.
        dropout: Share of the scores that is dropped.
    """
    if rules.capability is None:  # the processor's kernel takes masks, groups and every type, but drops nothing
        return "math" if dropout else "flash"
    new_enough = rules.capability >= (8, 0) and rules.has_flash
    if new_enough and dtype in _FLASH_DTYPES and not has_mask and head_dim <= _LARGEST_FLASH_HEAD:
        return "flash"
    takes_type = dtype != torch.bfloat16 or rules.capability >= (8, 0)
    if takes_type and (groups == 1 or rules.efficient_takes_groups):
        return "efficient"
    return "math"


def register(rules: KernelRules) -> None:
    """Makes `IMPLEMENTATION` mean scaled dot-product attention by these rules, until the next call."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        return _attend(rules, module, query, key, value, attention_mask, options), None

    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, sdpa_mask)


def _attend(
    rules: KernelRules,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """(B, H, S, D) queries, (B, K, S, D) keys and values to (B, S, H, D); as transformers calls torch."""
    from transformers.integrations.sdpa_attention import repeat_kv, use_gqa_in_sdpa

    groups = query.shape[1] // key.shape[1]
    if groups > 1 and not use_gqa_in_sdpa(mask, key, value):
        key, value, groups = repeat_kv(key, groups), repeat_kv(value, groups), 1
    if torch.is_autocast_enabled("cpu"):  # mixed precision, see `arithmetic`
        value, key, query = (tensor.to(torch.bfloat16) for tensor in (value, key, query))
    dropout = options.get("dropout", 0.0)
    head_dim = query.shape[-1]
    kernel = choose(rules, query.dtype, has_mask=mask is not None, groups=groups, head_dim=head_dim, dropout=dropout)
    out: torch.Tensor
    match kernel:
        case "flash":
            out = _Flash.apply(query, key, value, rules.capability is not None)  # type: ignore[no-untyped-call]
        case "efficient":
            key, value = repeat_kv(key, groups), repeat_kv(value, groups)
            out = _Efficient.apply(query, key, value, _additive(mask, query.dtype))  # type: ignore[no-untyped-call]
        case "math":
            is_causal = mask is None and options.get("is_causal", getattr(module, "is_causal", True)) is not False
            out = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=is_causal, enable_gqa=groups > 1
            )
        case _:
            assert_never(kernel)
    return out.transpose(1, 2).contiguous()


def _additive(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """The kernel's own copy of a mask: numbers instead of truth values, rows aligned to 16."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.empty(*mask.shape[:-1], _round_up(mask.shape[-1], 16), dtype=dtype, device=mask.device)


def _like_heads_last(tensor: torch.Tensor) -> torch.Tensor:
    """(B, H, S, D) that lies in memory as (B, S, H, D)."""
    batch, heads, length, size = tensor.shape
    return tensor.new_empty(batch, length, heads, size).transpose(1, 2)


class _Flash(torch.autograd.Function):
    """Keeps inputs, output and one number a row; the backward pass sums queries' gradients in float32."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, on_card: bool) -> torch.Tensor:
        out = _like_heads_last(query)
        sums = query.new_empty(query.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums)
        ctx.on_card = on_card
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, _, _ = ctx.saved_tensors
        batch, heads, length, size = query.shape
        held = []
        if ctx.on_card:
            rows = _round_up(length, 128)
            held.append(query.new_empty((batch, heads, rows, _round_up(size, 32)), dtype=torch.float32))
            held.append(query.new_empty((batch, heads, rows), dtype=torch.float32))
        if heads != key.shape[1]:  # gradients of keys and values for each query head, summed afterwards
            held += [query.new_empty(query.shape), query.new_empty(query.shape)]
        grads = _like_heads_last(query), _like_heads_last(key), _like_heads_last(value)
        return *grads, None


class _Efficient(torch.autograd.Function):
    """The same without groups of heads, with a mask, on older cards and in float32 too."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        out = _like_heads_last(query)
        rows = _round_up(query.shape[2], 32)
        sums = query.new_empty((*query.shape[:2], rows), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, out, sums, *(() if mask is None else (mask,)))
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors[:3]
        held = [
            query.new_empty(query.shape, dtype=torch.float32),
            query.new_empty(query.shape[:3], dtype=torch.float32),
        ]
        grads = _like_heads_last(query), _like_heads_last(key), _like_heads_last(value)
        del held
        return *grads, None


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
