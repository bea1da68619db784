"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import torch
from torch import nn

from ftc.runtime.models.sharding import split_like
from ftc.spec.documents.settings import TrainSettings

__all__ = [
    "Pace",
    "learning_rate_at",
    "load_state",
    "make_optimizer",
    "set_learning_rate",
    "state_misfit",
    "state_tensors",
]

_MEMORIES = (
    frozenset(("exp_avg", "exp_avg_sq", "step")),
    frozenset(("state1", "step")),
    frozenset(("state1", "absmax1", "step")),
    frozenset(("state1", "state2", "step")),
    frozenset(("state1", "state2", "absmax1", "absmax2", "step")),
    frozenset(("momentum_buffer",)),
    frozenset(("exp_avg_sq", "step", "RMS")),
    frozenset(("exp_avg_sq_row", "exp_avg_sq_col", "step", "RMS")),
)
"""What optimisers remember of a parameter: AdamW, bitsandbytes' in 32 and in 8 bits, SGD, Adafactor."""
_LIKE_THE_PARAMETER = frozenset(("exp_avg", "exp_avg_sq", "state1", "state2", "momentum_buffer"))
_TABLES = "qmap"
"""Beginning of the names of bitsandbytes' tables of 8-bit numbers."""


@dataclass(slots=True)
class Pace:
    """What validation has made of the learning rate so far, where a schedule asks it."""

    factor: float = 1.0


def make_optimizer(parameters: dict[str, nn.Parameter], train: TrainSettings) -> torch.optim.Optimizer:
    """The plan's optimiser over named parameters; matrices decay, biases and norms don't."""
    rule, groups = train.optimizer, _groups(parameters, train)
    betas = (rule.beta1, rule.beta2)
    match rule.kind:
        case "adamw":
            return torch.optim.AdamW(groups, lr=train.learning_rate, betas=betas, eps=rule.epsilon, fused=train.fused)
        case "sgd":
            return torch.optim.SGD(groups, lr=train.learning_rate, momentum=rule.momentum, fused=train.fused)
        case "adafactor":
            from transformers.optimization import Adafactor

            return Adafactor(groups, lr=train.learning_rate, scale_parameter=False, relative_step=False)
        case _:
            made: torch.optim.Optimizer = _of_few_bits(rule.kind, groups, train)
            return made


def _of_few_bits(kind: str, groups: list[dict[str, Any]], train: TrainSettings) -> Any:
    """bitsandbytes' optimisers."""
    import bitsandbytes

    optim: Any = bitsandbytes.optim  # whose names are not declared
    rate, betas = train.learning_rate, (train.optimizer.beta1, train.optimizer.beta2)
    if kind.startswith("lion"):
        lion = optim.Lion8bit if kind == "lion_8bit" else optim.Lion32bit
        return lion(groups, lr=rate, betas=betas)
    adamw = {
        "adamw_8bit": optim.AdamW8bit,
        "adamw_paged": optim.PagedAdamW32bit,
        "adamw_8bit_paged": optim.PagedAdamW8bit,
    }
    return adamw[kind](groups, lr=rate, betas=betas, eps=train.optimizer.epsilon)


def _groups(parameters: dict[str, nn.Parameter], train: TrainSettings) -> list[dict[str, Any]]:
    """Parameters by what is done to them; each group keeps its part of the learning rate as `rate_ratio`."""
    decay = train.optimizer.weight_decay
    faster = [name for name in parameters if "lora_B" in name] if train.b_rate_ratio != 1 else []
    usual = [parameter for name, parameter in parameters.items() if name not in faster]
    groups: list[dict[str, Any]] = [
        {"params": [one for one in usual if one.ndim >= 2], "weight_decay": decay, "rate_ratio": 1.0},
        {"params": [one for one in usual if one.ndim < 2], "weight_decay": 0.0, "rate_ratio": 1.0},
        {"params": [parameters[n] for n in faster], "weight_decay": decay, "rate_ratio": train.b_rate_ratio},
    ]
    return [group for group in groups if group["params"]]


def learning_rate_at(step: int, train: TrainSettings) -> float:
    """Learning rate of an optimiser step, counted from 0.

    It rises to the peak over the warm-up, whose first step already moves, and falls towards zero, which it would reach
    one step after the last.
    """
    warmup = train.schedule.warmup_steps
    if step < warmup:
        return train.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, train.num_steps - warmup)
    match train.schedule.kind:
        case "constant" | "plateau":
            return train.learning_rate
        case "linear":
            return train.learning_rate * (1 - done)
        case "cosine":
            return train.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "warmup_stable_decay":
            return train.learning_rate * min(1.0, (train.num_steps - step) / max(1, train.schedule.decay_steps))
        case _:
            assert_never(train.schedule.kind)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_ratio"]


def state_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The optimiser's memory as `<parameter>/<part>`, counts of steps included, and no tables that never change."""
    return {
        f"{name}/{part}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for name, parameter in parameters.items()
        for part, value in optimizer.state.get(parameter, {}).items()
        if value is not None and not part.startswith(_TABLES)
    }


def state_misfit(parameters: Mapping[str, nn.Parameter], shapes: Mapping[str, torch.Size]) -> str | None:
    """Why tensors of such shapes can't be the memory of these parameters' optimiser, or None where they can."""
    found: dict[str, set[str]] = {}
    for full_name, shape in shapes.items():
        name, _, part = full_name.rpartition("/")
        if name not in parameters or not any(part in memory for memory in _MEMORIES):
            return f"the optimiser's `{full_name}` belongs to no parameter"
        if part in _LIKE_THE_PARAMETER and shape != parameters[name].shape:
            return f"the optimiser's `{full_name}` has shape {tuple(shape)}"
        found.setdefault(name, set()).add(part)
    for name, parts in found.items():
        wanted = min((memory for memory in _MEMORIES if memory >= parts), key=len, default=frozenset[str]())
        if parts != wanted:
            return f"the optimiser's `{name}/{min(wanted - parts, default=min(parts))}` is missing"
    return None


def load_state(
    optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter], tensors: dict[str, torch.Tensor]
) -> None:
    """Puts back what `state_tensors` gave."""
    if hasattr(optimizer, "init_state"):
        _make_room(optimizer, {parameters[name.rpartition("/")[0]] for name in tensors})
    for full_name, tensor in tensors.items():
        name, _, part = full_name.rpartition("/")
        state = optimizer.state[parameters[name]]
        if part == "step" and not isinstance(optimizer, torch.optim.AdamW):
            state[part] = int(tensor)
        elif isinstance(there := state.get(part), torch.Tensor):  # pages stay where the driver can move them
            there.copy_(split_like(tensor, there))
        else:
            # Counts stay where torch made them: on the card for fused kernels, else in the processor's memory.
            keeps_place = part == "step" and not optimizer.param_groups[0]["fused"]
            parts = part in _LIKE_THE_PARAMETER
            place = parameters[name]
            state[part] = tensor if keeps_place else split_like(tensor, place) if parts else tensor.to(place.device)


def _make_room(optimizer: Any, parameters: set[nn.Parameter]) -> None:
    """bitsandbytes' memory as it is before the first step, pages and tables included."""
    for number, group in enumerate(optimizer.param_groups):
        for place, parameter in enumerate(group["params"]):
            if parameter in parameters:
                optimizer.init_state(group, parameter, number, place)
