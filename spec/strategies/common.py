"""What several strategies have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ftc.spec.language.did_you_mean import nearest
from ftc.spec.strategies.card import (
    Base,
    Beside,
    Card,
    Choices,
    PeftMethod,
    Problem,
    Strategy,
    StrategySettings,
    Trained,
    Traits,
)

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = [
    "AdaptedSettings",
    "Simple",
    "WholeSettings",
    "beside_trained",
    "choose_targets",
    "low_rank",
    "plural",
    "targeted",
]


class Simple(Strategy):
    """A section whose values go with each other, with one learning rate and no form that takes less memory."""

    def conflicts(self) -> Iterator[Problem]:
        """None."""
        yield from ()

    def usual_rate(self, card: Card, width: int, *, has_new_head: bool) -> tuple[float, str]:
        """The usual middle."""
        usual = f"the usual rate of {self.kind} with AdamW"
        reason = card.rate.reason(width, usual, has_new_head=has_new_head)
        return card.rate.at(width, has_new_head=has_new_head), reason

    def second_rate_ratio(self) -> float | None:
        """All that it trains learns alike."""
        return None

    def smaller(self, model: ModelFacts) -> Iterator[Iterator[tuple[str, Any]]]:
        """None."""
        yield from ()


class WholeSettings(StrategySettings):
    """Weights of the model itself are trained, and nothing stands beside them."""

    @property
    def traits(self) -> Traits:
        """Those of a plain model."""
        return Traits(
            num_virtual=0,
            new_modules=(),
            quantized=None,
            changes_base=False,
            differs_by_layer=False,
            merge_copies=0,
            adapter="",
            targets=(),
            of_experts=(),
            rank=None,
        )

    def misfit(self, base: Base, task: str) -> Problem | None:
        """Any model can."""
        return None

    def unpacked(self) -> StrategySettings | None:
        """Nothing is packed."""
        return None

    def peft(self) -> PeftMethod | None:
        """peft has no part in it."""
        return None


class AdaptedSettings(StrategySettings):
    """An adapter whose places follow from the model."""

    num_modules: int
    """Modules that it changes; checked when it is made."""
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""

    @property
    def traits(self) -> Traits:
        """Those of an adapter that is alike in all layers, and becomes part of one weight at a time."""
        return Traits(
            num_virtual=0,
            new_modules=self.trained_modules,
            quantized=None,
            changes_base=False,
            differs_by_layer=False,
            merge_copies=4,
            adapter="",
            targets=(),
            of_experts=(),
            rank=None,
        )

    def misfit(self, base: Base, task: str) -> Problem | None:
        """Any model can."""
        return None

    def unpacked(self) -> StrategySettings | None:
        """Nothing is packed."""
        return None


def beside_trained(num_weights: int, beside: Mapping[str, Beside], *, first_behind: bool = False) -> Trained:
    """So many weights beside linear layers, and nothing else."""
    return Trained(
        num_weights=num_weights,
        num_saved=num_weights,
        num_frozen=0,
        beside=beside,
        own=frozenset(),
        names=frozenset(beside),
        from_start=False,
        first_behind=first_behind,
        last_layers=None,
        products=True,
        norms=False,
        dropout=False,
    )


def choose_targets(
    chosen: Choices, asked: Literal["all-linear"] | tuple[str, ...], path: str, model: ModelFacts
) -> tuple[str, ...]:
    """Last parts of the names of the linear layers that get an adapter; a problem for each that no layer has."""
    mixture = model.kind.experts
    taken = mixture.peft_names if mixture else ()
    found = sorted({name.rsplit(".", 1)[-1] for name in model.linear_modules}.difference(taken))
    if asked == "all-linear":
        why = "all linear layers except the output layer"
        return chosen.derive(path, tuple(found), f"{why} and the experts" if mixture else why, key="targets")
    for position, name in enumerate(asked):
        if name in taken:
            summary = f"peft takes `{name}` of a `{model.model_type}` model for its experts, which are no linear layers"
            help = f"choose among {', '.join(found)}; `target_parameters` of `lora` adapts experts"
            chosen.problems.append(Problem("FTC224", summary, f"targets[{position}]", help))
            continue
        if name not in found:
            close = nearest(name, found)
            hint = f"did you mean `{close}`? " if close else ""
            summary = f"`{model.name}` has no linear module `{name}`"
            help = f"{hint}its linear modules are {', '.join(found)}"
            chosen.problems.append(Problem("FTC224", summary, f"targets[{position}]", help))
    return chosen.take(path, asked, "targets")


def targeted(model: ModelFacts, targets: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """The linear layers that such targets mean, by full name: (inputs, outputs)."""
    return {name: size for name, size in model.linear_modules.items() if name.rsplit(".", 1)[-1] in targets}


def low_rank(rank: int, inputs: int, outputs: int, *, dora: bool = False) -> Beside:
    """Two matrices of a rank beside a layer; DoRA also makes their product, whose rows are measured."""
    return Beside(
        inputs=inputs,
        outputs=outputs,
        width=rank,
        scales=False,
        forward=rank * (inputs + outputs),
        backward=rank * (2 * outputs + inputs),
        through=rank * inputs,
        once=rank * inputs * outputs if dora else 0,
        once_backward=0,
        turns_input=False,
        keeps_input=True,
        casts_input=True,
        keeps=rank + (2 * outputs if dora else 0),
        keeps_once=0,
        casts_once=0,
        sums=3 if dora else 0,
    )


def plural(number: int, noun: str) -> str:
    """`1 module`, `24 modules`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
