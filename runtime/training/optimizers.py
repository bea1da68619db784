"""Optimizers: how each is made, and how its state is saved. The pure half is `ftc.spec.optimizers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from ftc.runtime.models.file_names import stored_names
from ftc.runtime.models.sharding import split_like
from ftc.runtime.models.tensor_parallel import in_tensor_groups
from ftc.runtime.training.weight_average import WeightAverage
from ftc.spec.documents.settings import TrainSettings
from ftc.spec.optimizer_choice import in_layers
from ftc.spec.optimizers import optimizer_card
from ftc.spec.parameter_patterns import fits_any

__all__ = [
    "CONSTRUCTIONS",
    "Construction",
    "Pace",
    "evaluating",
    "load_state",
    "make_optimizer",
    "parameter_of",
    "set_learning_rate",
    "state_misfit",
    "state_tensors",
]

Groups = list[dict[str, Any]]
"""Groups of parameters, as torch's optimizers take them."""
_TABLES = "qmap"
"""Beginning of the names of bitsandbytes' tables of 8-bit numbers."""


@dataclass(frozen=True, slots=True)
class Construction:
    """The torch half of an optimizer's card.

    Attributes:
        kind: The card's.
        build: Makes the optimizer.
        states: Names of what it keeps of a parameter: one set for each way in which it may.
    """

    kind: str
    build: Callable[[Groups, TrainSettings], torch.optim.Optimizer]
    states: tuple[frozenset[str], ...]


@dataclass(slots=True)
class Pace:
    """What validation has made of the learning rate so far, where a schedule asks it."""

    factor: float = 1.0


def _adamw(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    rule = train.optimizer
    betas = (rule.beta1, rule.beta2)
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=betas, eps=rule.epsilon, fused=train.fused)


def _sgd(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=train.learning_rate, momentum=train.optimizer.momentum, fused=train.fused)


def _adafactor(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    return Adafactor(groups, lr=train.learning_rate, scale_parameter=False, relative_step=False)


class Together(torch.optim.Optimizer):
    """Several optimizers in one: each takes its groups, and all keep their state in one place."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._parts = parts
        for part in parts:
            part.state = self.state

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Each takes its step; the loop has no closure."""
        for part in self._parts:
            part.step(closure)


def _muon(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    """Muon for matrices in layers, its steps as long as AdamW's are, and AdamW for the rest."""
    rule, rate = train.optimizer, train.learning_rate
    inside = [group for group in groups if group["in_layers"]]
    outside = [group for group in groups if not group["in_layers"]]
    parts: list[torch.optim.Optimizer] = []
    if inside:
        parts.append(torch.optim.Muon(inside, lr=rate, momentum=rule.momentum, adjust_lr_fn="match_rms_adamw"))
    if outside:
        parts.append(torch.optim.AdamW(outside, lr=rate, betas=(rule.beta1, rule.beta2), eps=rule.epsilon))
    return Together(parts)


def _schedule_free(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    """Schedule-free AdamW, ready to train; `evaluating` shows the weights that it has averaged."""
    import schedulefree

    betas, epsilon = (train.optimizer.beta1, train.optimizer.beta2), train.optimizer.epsilon
    made = schedulefree.AdamWScheduleFree(groups, lr=train.learning_rate, betas=betas, eps=epsilon)
    made.train()
    optimizer: torch.optim.Optimizer = made
    return optimizer


def _kahan(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
    """optimi's AdamW for weights in 16 bits, by torch's own operators: those that a memory trace can follow."""
    import optimi

    betas, epsilon = (train.optimizer.beta1, train.optimizer.beta2), train.optimizer.epsilon
    made: torch.optim.Optimizer = optimi.AdamW(
        groups, lr=train.learning_rate, betas=betas, eps=epsilon, kahan_sum=True, foreach=False, triton=False
    )
    return made


def _bitsandbytes(name: str) -> Callable[[Groups, TrainSettings], torch.optim.Optimizer]:
    """Builds an optimizer of bitsandbytes by the name of its class."""

    def build(groups: Groups, train: TrainSettings) -> torch.optim.Optimizer:
        import bitsandbytes

        rule = train.optimizer
        values: dict[str, Any] = {"betas": (rule.beta1, rule.beta2)}
        if "epsilon" in optimizer_card(rule.kind).reads:
            values["eps"] = rule.epsilon
        if rule.beta3 is not None:
            values |= {"betas": (rule.beta1, rule.beta2, rule.beta3), "alpha": rule.alpha}
        made: torch.optim.Optimizer = getattr(bitsandbytes.optim, name)(groups, lr=train.learning_rate, **values)
        return made

    return build


_TRAINED = "trained_weights"
"""State of a parameter while an average is shown in its place: the weights in training."""
_COUNTS = ("k", "weight_sum", "lr_max")
"""What schedule-free AdamW keeps of a group; it is saved with each of its parameters."""
_ADAMW = frozenset(("exp_avg", "exp_avg_sq", "step"))
_MOMENTUM = frozenset(("momentum_buffer",))
_ONE_STATE = (frozenset(("state1", "step")), frozenset(("state1", "absmax1", "step")))
_TWO_STATES = (
    frozenset(("state1", "state2", "step")),
    frozenset(("state1", "state2", "absmax1", "absmax2", "step")),
)
"""What bitsandbytes keeps, in 32 bits and in 8."""

CONSTRUCTIONS: tuple[Construction, ...] = (
    Construction("adamw", _adamw, (_ADAMW,)),
    Construction("adamw_kahan", _kahan, (frozenset(("exp_avg", "exp_avg_sq", "kahan_comp", "step")),)),
    Construction("adamw_8bit", _bitsandbytes("AdamW8bit"), _TWO_STATES),
    Construction("adamw_paged", _bitsandbytes("PagedAdamW32bit"), _TWO_STATES),
    Construction("adamw_8bit_paged", _bitsandbytes("PagedAdamW8bit"), _TWO_STATES),
    Construction("lion", _bitsandbytes("Lion32bit"), _ONE_STATE),
    Construction("lion_8bit", _bitsandbytes("Lion8bit"), _ONE_STATE),
    Construction("ademamix", _bitsandbytes("AdEMAMix"), _TWO_STATES),
    Construction("ademamix_8bit", _bitsandbytes("AdEMAMix8bit"), _TWO_STATES),
    Construction("muon", _muon, (_MOMENTUM, _ADAMW)),
    Construction("adamw_schedule_free", _schedule_free, (frozenset(("z", "exp_avg_sq", "counts", _TRAINED)),)),
    Construction(
        "adafactor",
        _adafactor,
        (
            frozenset(("exp_avg_sq", "step", "RMS")),
            frozenset(("exp_avg_sq_row", "exp_avg_sq_col", "step", "RMS")),
        ),
    ),
    Construction("sgd", _sgd, (_MOMENTUM,)),
)
"""How each optimizer of `ftc.spec.optimizers` is made."""

_BY_KIND = {one.kind: one for one in CONSTRUCTIONS}
_KEPT = [states for one in CONSTRUCTIONS for states in (*one.states, frozenset[str]())]
_STATES = tuple(dict.fromkeys(one for states in _KEPT for one in (states, states | {_TRAINED})))
"""What a checkpoint may hold of a parameter: nothing, as without momentum, and beside an average also its weights."""
_LIKE_THE_PARAMETER = frozenset(
    ("exp_avg", "exp_avg_sq", "kahan_comp", "state1", "state2", "momentum_buffer", "z", _TRAINED)
)


def make_optimizer(
    parameters: dict[str, nn.Parameter], train: TrainSettings, model: nn.Module
) -> torch.optim.Optimizer:
    """The plan's optimizer over named parameters; matrices decay, biases and norms don't.

    Args:
        parameters: What is trained.
        train: The plan's numbers.
        model: Whose parameters they are; it knows their names in files, which groups may go by.
    """
    return _BY_KIND[train.optimizer.kind].build(_groups(parameters, train, model), train)


def _groups(parameters: dict[str, nn.Parameter], train: TrainSettings, model: nn.Module) -> list[dict[str, Any]]:
    """Parameters by what is done to them; each group keeps its part of the learning rate as `rate_ratio`."""
    stored = stored_names(model, parameters) if train.parameter_groups else {}
    ratios = {name: _rate_ratio((name, *stored.get(name, ())), train) for name in parameters}
    groups: list[dict[str, Any]] = [
        {
            "params": [one for name, one in parameters.items() if ratios[name] == ratio and (one.ndim >= 2) is decays],
            "weight_decay": train.optimizer.weight_decay if decays else 0.0,
            "rate_ratio": ratio,
        }
        for ratio in sorted({1.0, *ratios.values()}, key=lambda ratio: (ratio != 1, ratio))
        for decays in (True, False)
    ]
    if optimizer_card(train.optimizer.kind).splits_weights:
        inside = {id(one) for name, one in parameters.items() if in_layers(name, one.shape)}
        groups = [
            {
                **group,
                "params": [one for one in group["params"] if (id(one) in inside) is is_inside],
                "in_layers": is_inside,
            }
            for group in groups
            for is_inside in (True, False)
        ]
    # Operators take several tensors at once where the same processes hold them.
    return [{**group, "params": held} for group in groups for held in in_tensor_groups(group["params"])]


def _rate_ratio(names: Sequence[str], train: TrainSettings) -> float:
    """A parameter's learning rate by that of the run: of the new head, of its group, or of all.

    Args:
        names: What it is called, in memory first and then in files.
        train: With the groups.
    """
    name = names[0]
    second = train.b_rate_ratio if "lora_B" in name else 1.0
    if train.head_learning_rate is not None and fits_any(train.head_modules, (name,)):
        return train.head_learning_rate / train.learning_rate
    for group in train.parameter_groups:
        if fits_any(group.parameters, names):
            return second * group.learning_rate / train.learning_rate
    return second


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_ratio"]


def state_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The optimizer's state as `<parameter>/<part>`, counts of steps included, and no tables that never change."""
    for group in _averaged(optimizer):
        counts = torch.tensor([group[name] for name in _COUNTS], dtype=torch.float64)
        for parameter in group["params"]:
            if parameter in optimizer.state:
                optimizer.state[parameter]["counts"] = counts
    for group in (one for one in optimizer.param_groups if one.get("setup")):  # optimi counts the steps of a group
        for parameter in group["params"]:
            if parameter in optimizer.state:
                optimizer.state[parameter]["step"] = group["step"]
    return {
        f"{name}/{part}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for name, parameter in parameters.items()
        for part, value in optimizer.state.get(parameter, {}).items()
        if value is not None and not part.startswith(_TABLES)
    }


def _averaged(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Groups of an optimizer that trains other weights than those that it is measured by; none of all others."""
    return [group for group in optimizer.param_groups if "train_mode" in group]


@contextmanager
def evaluating(optimizer: torch.optim.Optimizer, average: WeightAverage | None = None) -> Iterator[None]:
    """A block in which parameters are the weights that are measured and saved, where those aren't the ones in training.

    Behind the block each bit of the weights in training is as it was, so that an evaluation changes nothing.

    Args:
        optimizer: In the block its state has the weights in training, so that a checkpoint keeps both.
        average: What is shown in their place; None where nothing is, or the optimizer averages by itself.
    """
    if average is not None:
        average.swap()
        for parameter, trained in average.pairs:
            optimizer.state[parameter][_TRAINED] = trained
        try:
            yield
        finally:
            for parameter, _ in average.pairs:
                del optimizer.state[parameter][_TRAINED]
            average.swap()
        return
    groups: Any = _averaged(optimizer)
    moved = [one for group in groups for one in group["params"] if "z" in optimizer.state.get(one, {})]
    for parameter in moved:
        optimizer.state[parameter][_TRAINED] = parameter.detach().clone()
    if groups:
        cast("Any", optimizer).eval()
    try:
        yield
    finally:
        for group in groups:
            group["train_mode"] = True
        with torch.no_grad():
            for parameter in moved:
                parameter.copy_(optimizer.state[parameter].pop(_TRAINED))


def state_misfit(parameters: Mapping[str, nn.Parameter], shapes: Mapping[str, torch.Size]) -> str | None:
    """Why tensors of such shapes can't be the state of these parameters' optimizer, or None where they can."""
    found: dict[str, set[str]] = {}
    for full_name, shape in shapes.items():
        name, _, part = full_name.rpartition("/")
        if name not in parameters or not any(part in states for states in _STATES):
            return f"the optimizer's `{full_name}` belongs to no parameter"
        like = parameters[name].shape
        if part in _LIKE_THE_PARAMETER and shape not in (like, (2, *like)):  # AdEMAMix's two means are one tensor
            return f"the optimizer's `{full_name}` has shape {tuple(shape)}"
        found.setdefault(name, set()).add(part)
    for name, parts in found.items():
        wanted = min((states for states in _STATES if states >= parts), key=len, default=frozenset[str]())
        if parts != wanted:
            return f"the optimizer's `{name}/{min(wanted - parts, default=min(parts))}` is missing"
    return None


def parameter_of(full_name: str, parameters: Mapping[str, nn.Parameter]) -> nn.Parameter | None:
    """The parameter whose shape and parts a state tensor has; None for a count or a table."""
    name, _, part = full_name.rpartition("/")
    return parameters.get(name) if part in _LIKE_THE_PARAMETER else None


def _group_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Any]:
    """The group that has a parameter."""
    return next(one for one in optimizer.param_groups if any(found is parameter for found in one["params"]))


def load_state(
    optimizer: torch.optim.Optimizer,
    parameters: dict[str, nn.Parameter],
    tensors: dict[str, torch.Tensor],
    average: WeightAverage | None = None,
) -> None:
    """Puts back what `state_tensors` gave, once the parameters are the weights that were saved with it.

    Args:
        optimizer: As it is before the first step.
        parameters: What it trains, by name.
        tensors: What was saved of it.
        average: What the saved weights are the average of; None where they aren't one.
    """
    if average is not None and any(name.endswith(f"/{_TRAINED}") for name in tensors):
        average.start()
    if hasattr(optimizer, "init_state"):
        # bitsandbytes' state as it is before the first step, pages and tables included.
        maker, wanted = cast("Any", optimizer), {parameters[name.rpartition("/")[0]] for name in tensors}
        for number, group in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(group["params"]):
                if parameter in wanted:
                    maker.init_state(group, parameter, number, index)
    for full_name, tensor in tensors.items():
        name, _, part = full_name.rpartition("/")
        state = optimizer.state[parameters[name]]
        if part == _TRAINED:
            with torch.no_grad():
                parameters[name].copy_(split_like(tensor, parameters[name]))
        elif part == "counts":
            group = _group_of(optimizer, parameters[name])
            group |= {"k": int(tensor[0]), "weight_sum": float(tensor[1]), "lr_max": float(tensor[2])}
        elif part == "step" and "setup" in (group := _group_of(optimizer, parameters[name])):
            group |= {"step": tensor.clone(), "setup": True}
        elif part == "step" and not isinstance(optimizer, torch.optim.AdamW | Together):
            state[part] = int(tensor)
        elif isinstance(there := state.get(part), torch.Tensor):  # pages stay where the driver can move them
            there.copy_(split_like(tensor, there))
        else:
            # Counts stay where torch made them: on the GPU for fused kernels, else in host RAM.
            keeps_place = part == "step" and not optimizer.param_groups[0].get("fused")
            parts = part in _LIKE_THE_PARAMETER
            place = parameters[name]
            state[part] = tensor if keeps_place else split_like(tensor, place) if parts else tensor.to(place.device)
