"""Context parallelism: several processes share each row, and each computes the tokens of two of its chunks.

Whatever a decoder does to single tokens is done where they are. Attention alone looks at others: keys and values are
gathered from all processes of the group, and queries stay, so that each looks at what it would see in the whole row.
In the backward pass the gradients of keys and values are summed and each process gets those of its own tokens. So the
gradients of all processes together are those of the whole rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import nn
from torch.nn import functional

from ftc.runtime.tasks.scorer import Batch
from ftc.spec.context_parallel import chunk_tokens, chunks_of

__all__ = ["ContextGroup", "Cut", "Exchange", "ProcessExchange"]

_NAME = "ftc_context_parallel"
"""Name under which transformers finds this attention."""
_HALVES = (torch.float16, torch.bfloat16)
_FLASH_SINCE = (8, 0)


class Exchange(Protocol):
    """What the processes of a context group exchange."""

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        """(N, …) the tensors of all N processes, of this one's, which lies in one piece."""
        ...

    def scatter_sum(self, parts: torch.Tensor) -> torch.Tensor:
        """(…) the sum over the processes of what each has for this one, of (N, …) what this one has for each."""
        ...


def _named(name: str, before: str) -> Callable[..., Any]:
    """One of torch's exchanges, which got another name in torch 2.13."""
    found: Callable[..., Any] = getattr(torch.distributed, name, None) or getattr(torch.distributed, before)
    return found


@dataclass(frozen=True, slots=True)
class ProcessExchange:
    """Between processes that are there.

    Attributes:
        group: torch's group of them.
        size: How many they are.
    """

    group: Any
    size: int

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        """See `Exchange.gather`."""
        found = part.new_empty((self.size, *part.shape))
        _named("all_gather_single", "all_gather_into_tensor")(found.view(-1), part.view(-1), group=self.group)
        return found

    def scatter_sum(self, parts: torch.Tensor) -> torch.Tensor:
        """See `Exchange.scatter_sum`."""
        found = parts.new_empty(parts.shape[1:])
        _named("reduce_scatter_single", "reduce_scatter_tensor")(found.view(-1), parts.view(-1), group=self.group)
        return found


@dataclass(frozen=True, slots=True)
class Cut:
    """This process's part of a micro-batch.

    Attributes:
        batch: Its tokens with their places in the whole rows, and the targets behind them.
        kept: (N,) which of the micro-batch's targets are among these.
        chunk: Tokens of a chunk.
        documents: (1, T) number of the row that each token of the whole sequence belongs to; None where a sequence is
            one row.
    """

    batch: Batch
    kept: torch.Tensor
    chunk: int
    documents: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class ContextGroup:
    """The processes that share rows, as one of them sees them.

    Attributes:
        rank: Its number among them.
        size: How many they are.
        exchange: Between them.
        products: Type in which attention computes.
        capability: CUDA's (major, minor) of the device; None for a CPU.
    """

    rank: int
    size: int
    exchange: Exchange
    products: torch.dtype
    capability: tuple[int, int] | None

    @contextmanager
    def sharing(self, model: nn.Module, batch: Batch) -> Iterator[Batch]:
        """Within the block, backward pass included, the model attends over the whole rows of a micro-batch.

        Args:
            model: A decoder that takes its attention from transformers' table.
            batch: Whole rows, the same in all processes of the group, on the device.

        Yields:
            This process's part of them.
        """
        cut = self.cut(batch)
        ends = [(number + 1) * cut.chunk for number in chunks_of(self.rank, self.size)]
        biases = [self.bias(cut, end) for end in ends]
        takes_groups = self.capability is None or (
            cut.documents is None and self.capability >= _FLASH_SINCE and self.products in _HALVES
        )
        with _attending(model, _Pass(self, ends, biases, takes_groups)):
            yield cut.batch

    def cut(self, batch: Batch) -> Cut:
        """This process's part of whole rows."""
        length = batch.ids.shape[1]
        chunk, chunks = chunk_tokens(length, self.size), chunks_of(self.rank, self.size)
        missing = 2 * self.size * chunk - length
        own = torch.cat([torch.arange(one * chunk, (one + 1) * chunk, device=batch.ids.device) for one in chunks])
        places = torch.arange(length, device=batch.ids.device)[None] if batch.places is None else batch.places
        documents = None if batch.places is None else functional.pad((places == 0).cumsum(1), (0, missing))
        places = torch.cat([places, places[:, -1:].expand(-1, missing)], dim=1)  # none is beyond what a table has
        row, column = batch.positions // length, batch.positions % length
        number, inside = column // chunk, column % chunk
        positions = row * (2 * chunk) + inside + torch.where(number == chunks[0], 0, chunk)
        kept = (number == chunks[0]) | (number == chunks[1])
        part = replace(
            batch,
            ids=functional.pad(batch.ids, (0, missing))[:, own],
            attention=functional.pad(batch.attention, (0, missing))[:, own],
            positions=positions[kept],
            targets=batch.targets[kept],
            owners=batch.owners[kept],
            places=places[:, own],
        )
        return Cut(part, kept, chunk, documents)

    def bias(self, cut: Cut, end: int) -> torch.Tensor:
        """What hides later tokens, and other rows of a sequence, from a chunk that ends at a place: (1, 1, C, end).

        A card's kernels know a plain causal chunk by itself, and need no numbers for it.
        """
        if cut.documents is None and self.capability is not None:
            return _plain_bias(cut.chunk, end)
        device = cut.batch.ids.device
        places = torch.arange(end, device=device)
        seen = places[None, :] <= places[-cut.chunk :, None]
        if cut.documents is not None:
            documents = cut.documents[0, :end]
            seen = seen & (documents[None, :] == documents[-cut.chunk :, None])
        none, all_ = (torch.scalar_tensor(one, dtype=self.products, device=device) for one in (-torch.inf, 0.0))
        return torch.where(seen, all_, none)[None, None]


def _plain_bias(length: int, end: int) -> torch.Tensor:
    """torch's own word for a causal chunk that ends with the keys; its constructor would allocate all pairs twice."""
    from torch.nn.attention.bias import CausalBias, CausalVariant

    bias = CausalBias.__new__(CausalBias)
    bias.__init__(CausalVariant.LOWER_RIGHT, length, end)  # type: ignore[misc]
    return bias


@dataclass(frozen=True, slots=True)
class _Pass:
    """A micro-batch on its way.

    Attributes:
        group: Of the process.
        ends: Tokens up to the end of each of its chunks.
        biases: What hides tokens from each.
        takes_groups: Whether the kernel takes fewer heads of keys than of queries: a CPU's, and flash attention.
    """

    group: ContextGroup
    ends: Sequence[int]
    biases: Sequence[torch.Tensor]
    takes_groups: bool


class _Now:
    """The pass of this process; layers that are computed again meet it on another thread, so that it is no thread's."""

    one: ClassVar[_Pass | None] = None


@contextmanager
def _attending(model: nn.Module, one: _Pass) -> Iterator[None]:
    """Has a model's attention go over the whole rows of a pass."""
    from transformers import PreTrainedConfig
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    # transformers makes no mask for a name that has none of its own.
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)
    held = (getattr(module, "config", None) for module in model.modules())
    configs = {id(config): config for config in held if isinstance(config, PreTrainedConfig)}
    usual = [(config, config._attn_implementation) for config in configs.values()]
    _Now.one = one
    try:
        for config, _ in usual:
            config._attn_implementation = _NAME
        yield
    finally:
        _Now.one = None
        for config, name in usual:
            config._attn_implementation = name


def _attention(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    """(B, H, S, D) queries and (B, K, S, D) keys and values of this process's tokens to (B, S, H, D)."""
    from transformers.integrations.sdpa_attention import repeat_kv

    now = _Now.one
    assert now is not None, "attention over shared rows is called in a block that says which"
    query, key, value = (one.to(now.group.products) for one in (query, key, value))
    keys, values = _gathered(key, now.group), _gathered(value, now.group)
    if (groups := query.shape[1] // key.shape[1]) > 1 and not now.takes_groups:
        keys, values, groups = repeat_kv(keys, groups), repeat_kv(values, groups), 1
    found = [
        functional.scaled_dot_product_attention(
            part,
            keys[:, :, :end],
            values[:, :, :end],
            attn_mask=bias,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=groups > 1,
        )
        for part, end, bias in zip(query.chunk(2, dim=2), now.ends, now.biases, strict=True)
    ]
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


def _gathered(part: torch.Tensor, group: ContextGroup) -> torch.Tensor:
    """(B, K, S, D) of this process's tokens to (B, K, T, D) of the whole rows."""
    whole: torch.Tensor = _Gathered.apply(part, group)  # type: ignore[no-untyped-call]
    return whole


class _Gathered(torch.autograd.Function):
    """Puts the chunks of all processes in their order; gradients go back to where their tokens are."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, group: ContextGroup) -> torch.Tensor:
        ctx.group = group
        halves = group.exchange.gather(part.contiguous()).chunk(2, dim=3)
        return torch.cat([*halves[0].unbind(), *reversed(halves[1].unbind())], dim=2)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        size = ctx.group.size
        chunks = slopes[0].chunk(2 * size, dim=2)
        mine = [torch.cat([chunks[one] for one in chunks_of(rank, size)], dim=2) for rank in range(size)]
        return ctx.group.exchange.scatter_sum(torch.stack(mine)), None
