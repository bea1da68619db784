"""LoRA on the experts of a mixture, each layer's in one tensor: which tensors, what that excludes, and what it costs.

peft calls them `target_parameters`. It adds the product of an adapter's matrices to all experts of a layer before they
are used, and the layer computes with the sum: so an adapter costs memory and arithmetic by the size of the experts, and
not by the number of tokens. It has no second way beside the weight, so that nothing can happen to the input there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.strategies.adapter_settings import LoraInit
from ftc.spec.strategies.card import Beside, Choices, Problem
from ftc.spec.strategies.patterns import by_name

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = [
    "LEAST_PEFT",
    "AskedExperts",
    "beside_experts",
    "choose_parameters",
    "excluded_by_experts",
    "targeted_parameters",
]

AskedExperts = Literal["all-experts"] | tuple[str, ...]
LEAST_PEFT = (0, 20)
"""The release of peft since which the first matrix reads what comes into an expert, as beside a linear layer. Earlier
ones take the two sides of most models' experts for each other, so that their adapters have other shapes."""
_KEY = "target_parameters"
_BEGINNINGS: tuple[LoraInit, ...] = ("default", "gaussian")
"""Those that need no weight: peft looks for a module's `weight`, and experts have none of that name."""


def excluded_by_experts(dropout: float, dora: bool, init: LoraInit) -> Iterator[Problem]:
    """Values of a low-rank adapter that it can't have on experts.

    Args:
        dropout: As the recipe has it, as are the others.
        dora: Whether lengths are learned.
        init: What it begins with.
    """
    if dropout:
        summary = "`dropout` drops inputs of an adapter, and on experts its product is added to the weight"
        yield Problem("FTC270", summary, "dropout", f"remove `dropout`, or `{_KEY}`")
    if dora:
        yield Problem("FTC270", "peft has no DoRA on experts", "dora", f"remove `dora`, or `{_KEY}`")
    if init not in _BEGINNINGS:
        help = f"write {' or '.join(f'`{one}`' for one in _BEGINNINGS)}, or remove `{_KEY}`"
        yield Problem("FTC270", f"peft has no `{init}` on experts", "init", help)


def choose_parameters(
    chosen: Choices, asked: AskedExperts, at: str, model: ModelFacts
) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    """What an adapter's settings say of experts, and (inputs, outputs) of an expert in each tensor that is meant.

    Args:
        chosen: Takes the reasons, and a problem for each name that no layer has.
        asked: What the recipe says.
        at: What paths of the adapter's settings begin with.
        model: The base model.
    """
    known, mixture = model.expert_matrices, model.kind.experts
    if not known or mixture is None:
        summary = f"`{model.name}` has no experts"
        chosen.problems.append(Problem("FTC224", summary, _KEY, f"remove `{_KEY}`, or choose a mixture of experts"))
        return {}, {}
    if isinstance(asked, str):
        why = "both tensors of each layer's experts"
        ends = chosen.derive(f"{at}{_KEY}", tuple(sorted(mixture.matrices)), why, key=_KEY)
    else:
        ends = chosen.take(f"{at}{_KEY}", asked, _KEY)
        chosen.problems.extend(_misnamed(asked, model, mixture.matrices))
    found = targeted_parameters(model, ends)
    number = chosen.derive(f"{at}num_parameters", len(found), "tensors of experts that these match")
    return {_KEY: ends, "num_parameters": number}, found


def _misnamed(asked: tuple[str, ...], model: ModelFacts, matrices: tuple[str, str]) -> Iterator[Problem]:
    for position, end in enumerate(asked):
        if not any(by_name((end,), name) for name in model.expert_matrices):
            close = nearest(end, matrices)
            hint = f"did you mean `{close}`? " if close else ""
            help = f"{hint}a layer's are {' and '.join(matrices)}; `1.{matrices[0]}` means layer 1 alone"
            summary = f"`{model.name}` has no experts with a tensor `{end}`"
            yield Problem("FTC224", summary, f"{_KEY}[{position}]", help)


def beside_experts(model: ModelFacts, ends: tuple[str, ...], rank_of: Callable[[str], int]) -> dict[str, Beside]:
    """What is added to experts, by the full names of their tensors in memory."""
    experts, found = model.experts, targeted_parameters(model, ends)
    if experts is None:
        return {}
    return {
        name: _added(rank_of(name), inputs, outputs, count=experts.count, chosen=experts.chosen)
        for name, (inputs, outputs) in found.items()
    }


def targeted_parameters(model: ModelFacts, ends: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of an expert in each tensor that such ends of names mean, by its full name in memory."""
    return {name: form for name, form in model.expert_matrices.items() if by_name(ends, name) is not None}


def _added(rank: int, inputs: int, outputs: int, *, count: int, chosen: int) -> Beside:
    """Two matrices of a rank for each expert of a layer, whose product is added to all experts once a pass.

    It is computed twice: torch's parametrization, which peft hands it to, first compares the shape of the sum. The
    sum's gradient is as large as the experts, its arithmetic is that of the tokens, and from it come those of both
    matrices.

    Args:
        rank: Of the product.
        inputs: Of an expert.
        outputs: Of an expert.
        count: Experts of the layer.
        chosen: Experts that a token goes to.
    """
    product = rank * inputs * outputs * count
    return Beside(
        inputs=inputs,
        outputs=outputs,
        width=rank * count,
        scales=False,
        forward=0,
        backward=chosen * inputs * outputs,
        through=0,
        once=2 * product,
        once_backward=2 * product,
        turns_input=False,
        keeps_input=True,
        casts_input=False,
        keeps=0,
        keeps_once=count * inputs * outputs,
        casts_once=0,
        sums=0,
    )
