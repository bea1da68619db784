"""Attention kernels of torch as a model on tensors without memory sees them: what each allocates and keeps.

Without memory torch knows only the plain formula, which holds all scores. On a device it chooses among fused kernels
that hold none, by rules about types, masks and hardware. `choose` is the table of these rules; the functions stand in
for the kernels and are registered with transformers under one name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import torch
from torch.nn.attention.bias import CausalBias

from ftc.runtime.memory_trace.allocator import round_up
from ftc.runtime.memory_trace.arithmetic import MixedPrecision
from ftc.runtime.memory_trace.torch_internals import replaced

__all__ = ["IMPLEMENTATION", "UNPADDED", "KernelRules", "choose", "fused", "register", "without_launches"]

IMPLEMENTATION = "ftc_traced"
"""Name under which the chosen kernel is registered with transformers."""
UNPADDED = "ftc_traced_unpadded"
"""Name of what stands for the package flash-attn: it takes no masks, since rows reach it without their padding."""

Kernel = Literal["flash", "efficient", "math"]

_plain_attention = torch.nn.functional.scaled_dot_product_attention

_FLASH_DTYPES = (torch.float16, torch.bfloat16)
_LARGEST_FLASH_HEAD = 256


@dataclass(frozen=True, slots=True)
class KernelRules:
    """What decides about kernels, apart from the tensors.

    Attributes:
        capability: CUDA's (major, minor), or None for a CPU.
        has_flash: Whether torch was built with its flash kernels.
        efficient_takes_groups: Whether the memory-efficient kernel takes fewer heads of keys than of queries; torch
            2.6 refuses them.
    """

    capability: tuple[int, int] | None
    has_flash: bool = True
    efficient_takes_groups: bool = True


def choose(
    rules: KernelRules,
    dtype: torch.dtype,
    *,
    has_mask: bool,
    groups: int,
    head_dim: int,
    value_dim: int | None = None,
    dropout: float = 0.0,
    learns_mask: bool = False,
) -> Kernel:
    """The kernel that torch takes for scaled dot-product attention.

    Args:
        rules: Device and build.
        dtype: Of queries, keys and values.
        has_mask: Whether a mask is passed; causality alone needs none.
        groups: Query heads that share a head of keys; 1 where they were repeated before.
        head_dim: Size of a head.
        value_dim: Size of a head of values, where it is another.
        dropout: Share of the scores that is dropped.
        learns_mask: Whether the mask needs a gradient, as one made of learned distances does.
    """
    is_one_size = value_dim in (None, head_dim)
    if rules.capability is None:  # the CPU's kernel takes masks, groups and every type; it drops and learns none
        return "math" if dropout or learns_mask or not is_one_size else "flash"
    new_enough = rules.capability >= (8, 0) and rules.has_flash
    is_even = head_dim <= _LARGEST_FLASH_HEAD and is_one_size
    if new_enough and dtype in _FLASH_DTYPES and not has_mask and is_even:
        return "flash"
    takes_type = dtype != torch.bfloat16 or rules.capability >= (8, 0)
    if takes_type and (groups == 1 or rules.efficient_takes_groups):
        return "efficient"
    return "math"


def register(rules: KernelRules) -> None:
    """Makes `IMPLEMENTATION` mean scaled dot-product attention by these rules, until the next call.

    `UNPADDED` is flash attention whatever the rules; that rows are taken out of their padding and put back isn't seen,
    and takes no more than the padding would.
    """
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

    def unpadded(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        _mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        return _attend(rules, module, query, key, value, None, options, "flash"), None

    ALL_ATTENTION_FUNCTIONS.register(UNPADDED, unpadded)
    ALL_MASK_ATTENTION_FUNCTIONS.register(UNPADDED, lambda *_, **__: None)
    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, sdpa_mask)


@contextmanager
def fused(rules: KernelRules) -> Iterator[None]:
    """Has models that call torch's attention by themselves, past transformers' interface, meet the same kernels."""

    def attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if query.device.type != "meta":
            options: dict[str, Any] = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale}
            return _plain_attention(query, key, value, attn_mask, **options, enable_gqa=enable_gqa)
        groups = query.shape[1] // key.shape[1] if enable_gqa else 1
        if isinstance(attn_mask, CausalBias):  # a word for what kernels do by themselves
            attn_mask, is_causal = None, True
        return _computed(rules, query, key, value, attn_mask, dropout=dropout_p, is_causal=is_causal, groups=groups)

    with replaced(torch.nn.functional, "scaled_dot_product_attention", attention):
        yield


@contextmanager
def without_launches() -> Iterator[None]:
    """Has kernels of Triton do nothing: what calls them allocates and keeps as ever, on tensors without memory.

    A backward pass of norms whose weights are trained sums over the card's multiprocessors in float32, of which
    one is seen here: up to 4 MiB less than there is, for a moment.
    """
    from triton.runtime.jit import KernelInterface

    with replaced(KernelInterface, "__getitem__", lambda _kernel, _grid: lambda *_, **__: None):
        yield


def _attend(
    rules: KernelRules,
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: dict[str, Any],
    fixed: Kernel | None = None,
) -> torch.Tensor:
    """(B, H, S, D) queries, (B, K, S, D) keys and values to (B, S, H, D); as transformers calls torch."""
    from transformers.integrations.sdpa_attention import repeat_kv, use_gqa_in_sdpa

    groups = query.shape[1] // key.shape[1]
    if groups > 1 and not use_gqa_in_sdpa(mask, key, value):
        key, value, groups = repeat_kv(key, groups), repeat_kv(value, groups), 1
    is_causal = mask is None and options.get("is_causal", getattr(module, "is_causal", True)) is not False
    if (bias := options.get("position_bias")) is not None:
        from transformers.integrations.sdpa_attention import create_position_bias_mask

        made: torch.Tensor = create_position_bias_mask(bias, mask, is_causal and query.shape[2] > 1, query, key)
        mask, is_causal = made, False
    dropout = options.get("dropout", 0.0)
    out = _computed(rules, query, key, value, mask, dropout=dropout, is_causal=is_causal, groups=groups, fixed=fixed)
    return out.transpose(1, 2).contiguous()


def _computed(
    rules: KernelRules,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    dropout: float,
    is_causal: bool,
    groups: int,
    fixed: Kernel | None = None,
) -> torch.Tensor:
    """(B, H, S, D) by the kernel that torch takes, as its function for attention gives it."""
    from transformers.integrations.sdpa_attention import repeat_kv

    uncast = mask  # the caller's, which outlives the call
    query, key, value, *masks = MixedPrecision.halved(query, key, value, *(() if mask is None else (mask,)))
    mask = masks[0] if masks else None
    kernel = fixed or choose(
        rules,
        query.dtype,
        has_mask=mask is not None,
        groups=groups,
        head_dim=query.shape[-1],
        value_dim=value.shape[-1],
        dropout=dropout,
        learns_mask=mask is not None and mask.requires_grad,
    )
    out: torch.Tensor
    match kernel:
        case "flash":
            on_card = rules.capability is not None
            mask = mask if on_card or mask is None else _as_numbers(mask, query)
            out = _Flash.apply(query, key, value, mask, on_card)  # type: ignore[no-untyped-call]
        case "efficient":
            key, value = repeat_kv(key, groups), repeat_kv(value, groups)
            mask = _additive(mask, query, key)
            out = _Efficient.apply(query, key, value, mask)  # type: ignore[no-untyped-call]
        case "math":
            out = _plain_attention(
                query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=is_causal, enable_gqa=groups > 1
            )
        case _:
            assert_never(kernel)
    del uncast
    return out


def _as_numbers(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """The CPU's kernel adds masks to the scores, so truth values become numbers of the queries' type."""
    if mask.dtype != torch.bool:
        return mask
    kept, dropped = (torch.scalar_tensor(one, dtype=query.dtype, device=query.device) for one in (0.0, -torch.inf))
    return torch.where(mask, kept, dropped)


def _additive(mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor | None:
    """The mask as the kernel takes it: numbers instead of truth values, rows aligned to 16, a view for each head."""
    if mask is None:
        return None
    missing = -mask.shape[-1] % 16
    if mask.dtype == torch.bool:
        rows = (*mask.shape[:-1], mask.shape[-1] + missing)
        return torch.empty(rows, dtype=query.dtype, device=mask.device)
    aligned = torch.nn.functional.pad(mask, (0, missing)) if missing else mask
    return aligned[..., : key.shape[2]].expand(*query.shape[:3], key.shape[2])


def _like_heads_last(tensor: torch.Tensor, size: int | None = None) -> torch.Tensor:
    """(B, H, S, D) that lies in memory as (B, S, H, D), with heads of another size where one is given."""
    batch, heads, length, own = tensor.shape
    size = size or own
    return tensor.new_empty(batch, length, heads, size).transpose(1, 2)


def _outputs(query: torch.Tensor, size: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What a fused kernel gives: (B, H, S, size), and a number for each of so many rows of a head, in float32."""
    sums = query.new_empty((*query.shape[:2], rows), dtype=torch.float32)
    return _like_heads_last(query, size), sums


_LIBRARY = torch.library.Library("ftc_traced", "DEF")
"""One operator, as a fused kernel is: selective checkpointing keeps what it gives."""
_LIBRARY.define("attention(Tensor query, int size, int rows) -> (Tensor, Tensor)")
_LIBRARY.impl("attention", _outputs, "CompositeExplicitAutograd")


def _fused_outputs(query: torch.Tensor, size: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by the operator, which modes see as one."""
    made: tuple[torch.Tensor, torch.Tensor] = torch.ops.ftc_traced.attention(query, size, rows)
    return made


class _Flash(torch.autograd.Function):
    """Keeps inputs, output and one number a row; the backward pass sums queries' gradients in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        on_card: bool,
    ) -> torch.Tensor:
        out, sums = _fused_outputs(query, value.shape[-1], query.shape[2])
        ctx.save_for_backward(query, key, value, out, sums, *(() if mask is None else (mask,)))
        ctx.on_card = on_card
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors[:3]
        batch, heads, length, size = query.shape
        held = []
        if ctx.on_card:
            rows = round_up(length, 128)
            held.append(query.new_empty((batch, heads, rows, round_up(size, 32)), dtype=torch.float32))
            held.append(query.new_empty((batch, heads, rows), dtype=torch.float32))
        if heads != key.shape[1]:  # gradients of keys and values for each query head, summed afterwards
            held += [query.new_empty(query.shape), query.new_empty(query.shape)]
        grads = _like_heads_last(query), _like_heads_last(key), _like_heads_last(value)
        return *grads, None, None


class _Efficient(torch.autograd.Function):
    """The same without groups of heads, with a mask, on older cards and in float32 too."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        out, sums = _fused_outputs(query, value.shape[-1], round_up(query.shape[2], 32))
        ctx.save_for_backward(query, key, value, out, sums, *(() if mask is None else (mask,)))
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, _, _, *masks = ctx.saved_tensors
        held = [
            query.new_empty(query.shape, dtype=torch.float32),
            query.new_empty(query.shape[:3], dtype=torch.float32),
        ]
        grads = _like_heads_last(query), _like_heads_last(key), _like_heads_last(value)
        of_mask = _gradient_of_mask(masks[0]) if ctx.needs_input_grad[3] else None
        del held
        return *grads, of_mask


def _gradient_of_mask(mask: torch.Tensor) -> torch.Tensor:
    """One number for each head, query and key, in rows that are aligned to 16."""
    return mask.new_empty(*mask.shape[:-1], round_up(mask.shape[-1], 16))[..., : mask.shape[-1]]
