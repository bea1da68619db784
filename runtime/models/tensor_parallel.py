"""Layers of a model divided among the processes of a machine, by transformers' own plan for tensor parallelism.

The plan is data: it says of each module of a layer whether it is divided by columns or by rows. What is divided is a
`DTensor`, so that checkpoints, digests and results find the whole tensor; the products are torch's own over the part
that a process holds, with the exchange that belongs to each style before or behind them. So they are the same under
autocast, in the backward pass and where nothing is trained, and hooks around a module stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional

from ftc.spec.tensor_parallel import STYLES, WHOLE, Style, divides

__all__ = [
    "TENSOR",
    "NoTensorPlanError",
    "TensorPlan",
    "devices_of_a_layer",
    "in_tensor_groups",
    "local_part",
    "reports_rows",
    "sum_gradients",
]

TENSOR = "tensor"
"""Name of the dimension of a mesh along which processes divide layers."""
_SUMMED, _DEVICES = "ftc_summed_gradients", "ftc_tensor_parallel"
"""What is noted at a model: parameters whose gradients are sums over processes, and how many divide a layer."""


_P = TypeVar("_P")
_OF_HEADS = (".q_norm", ".k_norm")
"""Ends of the names of norms behind layers that are divided by columns."""


class NoTensorPlanError(LookupError):
    """transformers has no plan for a model that ftc can follow; the text says why."""


class TensorPlan:
    """What is divided of a model, and how.

    Args:
        model: Whole, with or without adapters beside its layers.
        mesh: The processes that divide each layer, in one dimension; None divides nothing.

    Raises:
        NoTensorPlanError: transformers has no plan for this model that ftc can follow.
    """

    def __init__(self, model: Any, mesh: Any) -> None:
        self._mesh = mesh
        self._styles: dict[int, Style] = {}
        self._summed: list[str] = []
        if mesh is None:
            return
        names = {id(module): name for name, module in model.named_modules()}
        for module, style in _styled(_inner(model), mesh.size()):
            for one, how in _with_adapters(module, style):
                self._styles[id(one)] = how
                if how == "summed gradients":
                    self._summed += [f"{names[id(one)]}.{name}" for name, _ in one.named_parameters(recurse=False)]

    def divide(self, module: nn.Module) -> None:
        """Divides what the plan names of a module and of those in it; all processes have to ask in the same order.

        Args:
            module: With its values, or without.
        """
        for one in module.modules():
            style = self._styles.pop(id(one), None)
            if style is not None and style != "summed gradients":
                _divide(one, style, self._mesh)

    def note(self, model: nn.Module) -> None:
        """Notes at a model that is divided how many processes divide a layer, and which gradients are parts of sums."""
        setattr(model, _DEVICES, 1 if self._mesh is None else self._mesh.size())
        setattr(model, _SUMMED, (tuple(self._summed), self._mesh))


def devices_of_a_layer(model: Any) -> int:
    """How many processes divide each layer of a model, and so compute the same rows; 1 where none do."""
    return int(getattr(model, _DEVICES, 1))


def reports_rows(model: Any, rank: int) -> bool:
    """Whether a process says what was found of rows: of those that divide layers, and compute the same, the first."""
    return rank % devices_of_a_layer(model) == 0


def sum_gradients(model: nn.Module) -> None:
    """Adds up gradients of which each process has a part: those of norms of heads; all processes have to ask.

    They are exchanged as one tensor, once a step.
    """
    noted: Any = getattr(model, _SUMMED, ((), None))
    names, mesh = noted
    parameters = dict(model.named_parameters()) if names else {}
    parts: list[torch.Tensor] = [local_part(found) for name in names if (found := parameters[name].grad) is not None]
    if not parts:
        return
    total = torch.cat([one.flatten() for one in parts])
    torch.distributed.all_reduce(total, group=mesh.get_group())
    for part, summed in zip(parts, total.split([one.numel() for one in parts]), strict=True):
        part.copy_(summed.view_as(part))


def in_tensor_groups(parameters: Iterable[_P]) -> list[list[_P]]:
    """Parameters by the processes that hold parts of them: operators take those of the same ones together.

    Where no layers are divided, that is one group.
    """
    found: dict[tuple[str, ...], list[_P]] = {}
    for one in parameters:
        names = getattr(getattr(one, "device_mesh", None), "mesh_dim_names", None) or ()
        at = names.index(TENSOR) if TENSOR in names else None
        is_same = at is not None and cast("Any", one).placements[at].is_replicate()
        found.setdefault((*names, "same") if is_same else names, []).append(one)
    return list(found.values())


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _styled(model: Any, devices: int) -> Iterator[tuple[nn.Module, Style]]:
    """Each module that transformers' plan names, with its style.

    Raises:
        NoTensorPlanError: There is no plan, or it has a style that ftc does not know.
    """
    plan: Mapping[str, str] = getattr(model.config, "base_model_tp_plan", None) or {}
    whose = f"transformers' plan for a `{model.config.model_type}` model"
    if not plan:
        raise NoTensorPlanError(f"transformers has no plan for a `{model.config.model_type}` model")
    if unknown := sorted({style for style in plan.values() if style not in STYLES and style not in WHOLE}):
        raise NoTensorPlanError(f"{whose} has the style `{unknown[0]}`")
    body: Any = getattr(model, model.base_model_prefix, model)
    patterns: list[tuple[re.Pattern[str], Style]] = [
        (re.compile(re.escape(name).replace(r"\*", r"\d+")), STYLES[style])
        for name, style in plan.items()
        if style in STYLES
    ]
    for name, module in body.named_modules():
        found: Style | None = next((how for pattern, how in patterns if pattern.fullmatch(name)), None)
        if found is not None:
            yield module, found
        elif name.endswith(_OF_HEADS) and next(module.parameters(), None) is not None:
            raise NoTensorPlanError(f"{whose} leaves out `{name}`")  # each process would see its own heads
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    style_of_head = (getattr(type(model), "_tp_plan", None) or {}).get("lm_head")
    shared = head is not None and head.weight is model.get_input_embeddings().weight
    is_divided = not shared and STYLES.get(style_of_head or "") == "gathered columns"
    if type(head) is nn.Linear and is_divided and divides(head.out_features, devices):
        yield head, "gathered columns"


def _with_adapters(module: nn.Module, style: Style) -> Iterator[tuple[nn.Module, Style]]:
    """A module, or where peft's adapter stands beside it, its own layer and that half of the adapter which follows it.

    The half that meets the divided side is divided alike; the other is as small as its rank.
    """
    layer = getattr(module, "base_layer", None)
    if layer is None:
        yield module, style
        return
    yield layer, style
    held: Any = module
    halves = {"columns": "lora_B", "gathered columns": "lora_B", "rows": "lora_A"}
    for one in getattr(held, halves[style]).values():
        yield one, style


def _divide(module: Any, style: Style, mesh: Any) -> None:
    """Makes a linear layer's tensors parts, and has it compute with its own."""
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    by_rows = style == "rows"
    for name, one in [*module.named_parameters(recurse=False)]:
        placement = Replicate() if by_rows and one.ndim == 1 else Shard(one.ndim - 1 if by_rows else 0)
        part = distribute_tensor(one.detach(), mesh, [placement], src_data_rank=None)
        setattr(module, name, nn.Parameter(part, requires_grad=one.requires_grad))
    act: Callable[..., torch.Tensor] = {"columns": _columns, "rows": _rows, "gathered columns": _gathered}[style]
    module.forward = partial(act, module, mesh.get_group())


def local_part(tensor: Any) -> Any:
    """What this process holds of a tensor that several may divide."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _columns(layer: Any, group: Any, states: torch.Tensor) -> torch.Tensor:
    """(..., out / N) of (..., in), which all processes have."""
    return functional.linear(_SumSlopes.apply(states, group), local_part(layer.weight), local_part(layer.bias))  # type: ignore[no-untyped-call]


def _rows(layer: Any, group: Any, part: torch.Tensor) -> torch.Tensor:
    """(..., out) of (..., in / N), the same in all processes."""
    summed: torch.Tensor = _Sum.apply(functional.linear(part, local_part(layer.weight)), group)  # type: ignore[no-untyped-call]
    return summed if layer.bias is None else summed + local_part(layer.bias)


def _gathered(layer: Any, group: Any, states: torch.Tensor) -> torch.Tensor:
    """(..., out) of (..., in), both of which all processes have."""
    found: torch.Tensor = _Gather.apply(_columns(layer, group, states), group)  # type: ignore[no-untyped-call]
    return found


class _SumSlopes(torch.autograd.Function):
    """A tensor as it is; each process has a part of its gradient."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        return states.view_as(states)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _summed(slopes[0], ctx.group), None


class _Sum(torch.autograd.Function):
    """The sum of what processes have computed; each gets all of its gradient."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, group: Any) -> torch.Tensor:  # noqa: ARG004
        return _summed(part, group)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        return slopes[0], None


class _Gather(torch.autograd.Function):
    """The last dimension put together; each process takes its share of the gradient."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor, group: Any) -> torch.Tensor:
        size = torch.distributed.get_world_size(group)
        ctx.place, ctx.size = torch.distributed.get_rank(group), size
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(size)]
        torch.distributed.all_gather(parts, part.contiguous(), group=group)
        return torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        return slopes[0].chunk(ctx.size, dim=-1)[ctx.place].contiguous(), None


def _summed(tensor: torch.Tensor, group: Any) -> torch.Tensor:
    """A sum of its own: what was saved for the backward pass must stay as it is."""
    total = tensor.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total, group=group)
    return total
