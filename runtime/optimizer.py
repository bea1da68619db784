"""The optimiser and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, assert_never

import torch
from torch import nn

from ftc.spec.settings import TrainSettings

__all__ = ["learning_rate_at", "load_state", "make_optimizer", "set_learning_rate", "state_misfit", "state_tensors"]

_PARTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW remembers of each parameter."""


def make_optimizer(parameters: dict[str, nn.Parameter], train: TrainSettings) -> torch.optim.AdamW:
    """AdamW over named parameters; matrices decay, biases and norms don't."""
    return torch.optim.AdamW(
        _groups(parameters, train),
        lr=train.learning_rate,
        betas=(train.optimizer.beta1, train.optimizer.beta2),
        eps=train.optimizer.epsilon,
        fused=train.fused,
    )


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
        case "constant":
            return train.learning_rate
        case "linear":
            return train.learning_rate * (1 - done)
        case "cosine":
            return train.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case _:
            assert_never(train.schedule.kind)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_ratio"]


def state_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The optimiser's memory as `<parameter>/<part>`; its parts are tensors, the count of steps included."""
    return {
        f"{name}/{part}": tensor
        for name, parameter in parameters.items()
        for part, tensor in optimizer.state.get(parameter, {}).items()
    }


def state_misfit(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Why tensors can't be the memory of these parameters' optimiser, or None where they can."""
    for full_name, tensor in tensors.items():
        name, _, part = full_name.rpartition("/")
        if name not in parameters or part not in _PARTS:
            return f"the optimiser's `{full_name}` belongs to no parameter"
        if part != "step" and tensor.shape != parameters[name].shape:
            return f"the optimiser's `{full_name}` has shape {tuple(tensor.shape)}"
    wanted = {f"{name.rpartition('/')[0]}/{part}" for name in tensors for part in _PARTS}
    return f"the optimiser's `{min(wanted - tensors.keys())}` is missing" if wanted - tensors.keys() else None


def load_state(
    optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter], tensors: dict[str, torch.Tensor]
) -> None:
    """Puts back what `state_tensors` gave."""
    for full_name, tensor in tensors.items():
        name, _, part = full_name.rpartition("/")
        parameter = parameters[name]
        # Counts stay where torch made them: on the card for fused kernels, else in the processor's memory.
        keeps_place = part == "step" and not optimizer.param_groups[0]["fused"]
        optimizer.state[parameter][part] = tensor if keeps_place else tensor.to(parameter.device)
