"""Partial training: the last layers and what follows them."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from ftc.spec.module_names import depths_of, part_of
from ftc.spec.parameter_patterns import MOST_PATTERNS, ParameterPattern
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Problem,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.chosen import ChosenSettings, count_chosen
from ftc.spec.strategies.common import Simple, plural

__all__ = ["PARTIAL", "Partial", "PartialSettings"]


class Partial(Simple):
    """The last layers are trained, with everything behind them, or what patterns name; all else stays as it is."""

    UNITS: ClassVar[dict[str, str]] = {"layers": "layers"}
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "layers": (2, "all"),
        "embeddings": (True,),
        "parameters": (("lm_head", "layers.3[01]"), ("self_attn", "norm")),
        "freeze": (("mlp",),),
    }

    kind: Literal["partial"]
    layers: Literal["auto", "all"] | Annotated[int, Field(ge=0, le=1000)] = "auto"
    """Last layers that are trained, in each stack of layers; with 0 only what follows them, such as a new head.
    Default `auto`: 2, where most of what is particular to a task is learned, and all where `parameters` chooses."""
    embeddings: Literal["auto"] | bool = "auto"
    """Whether the embeddings are trained, and with them an output layer that shares their weights. Default `auto`: no,
    since few rows move few words of them, unless `parameters` names them."""
    parameters: tuple[ParameterPattern, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """The only parameters that are trained, by patterns of their names: whole parts of a name, in which `*`, `?` and
    `[0-9]` match characters of one part, such as `[lm_head, "layers.3[01].self_attn"]`. Together with `layers`
    only those of these layers. A new head is trained in any case. Default: none, so that `layers` decides."""
    freeze: tuple[ParameterPattern, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """Parameters that are not trained, by patterns of their names. Default: none, so that what the other keys choose is
    trained."""

    def settle(self, base: Base) -> Settled:
        """As many last layers as there are, and what patterns leave of them."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        layers, embeddings = self._layers(chosen), self._embeddings(chosen)
        settings = PartialSettings(kind=kind, layers=layers, embeddings=embeddings)
        for key in ("parameters", "freeze"):
            if patterns := getattr(self, key):
                settings = settings.model_copy(update={key: chosen.take(key, patterns)})
        deepest = max(depths_of(base.model.tensors).values(), default=0)
        if layers != "all" and layers > deepest:
            summary = f"the last {layers} layers of a model with only {deepest}"
            chosen.problems.append(Problem("FTC272", summary, "layers", f"write at most {deepest}, or `all`"))
        return Settled(count_chosen(chosen, settings, base), chosen.reasons, tuple(chosen.problems), ())

    def _layers(self, chosen: Choices) -> Literal["all"] | int:
        if self.layers != "auto":
            return chosen.take("layers", self.layers)
        if self.parameters:
            return chosen.derive("layers", "all", "`parameters` chooses")
        return chosen.derive("layers", 2, "most of what is particular to a task is learned there")

    def _embeddings(self, chosen: Choices) -> bool:
        if self.embeddings != "auto":
            return chosen.take("embeddings", self.embeddings)
        if self.parameters:
            return chosen.derive("embeddings", True, "where `parameters` names them")
        return chosen.derive("embeddings", False, "few rows move few words of them")


class PartialSettings(ChosenSettings):
    """The last layers are trained, and everything behind them, or what patterns leave of them."""

    kind: Literal["partial"]
    layers: Literal["all"] | int
    """Last layers of each stack."""
    embeddings: bool

    def trained(self, base: Base) -> Trained:
        """Weights of the last layers and behind them, and embeddings where they are trained."""
        if self.has_patterns:
            return self.trained_by_name(base)
        depths = depths_of(base.model.tensors)
        found = {name: one for name, one in base.trainable.items() if self.is_candidate(name, depths)}
        linear = {name.rpartition(".")[0] for name in found}.intersection(base.model.linear_modules)
        if (experts := base.model.experts) is not None:
            linear |= {name for name in experts.layers if self.is_candidate(name, depths)}
        return Trained(
            num_weights=sum(one.num_elements for one in found.values()),
            num_saved=sum(one.num_elements for one in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset(linear),
            names=frozenset(found),
            from_start=self.embeddings,
            first_behind=False,
            last_layers=None if self.layers == "all" or self.embeddings else self.layers,
            products=True,
            norms=False,
            dropout=False,
        )

    @property
    def deepest_trained(self) -> int | None:
        """The last layers; where all may be trained patterns decide, if anything does."""
        return None if self.layers == "all" else self.layers

    def with_deepest_trained(self, layers: int) -> Self:
        """Another number of last layers."""
        return self.model_copy(update={"layers": layers})

    def is_candidate(self, name: str, depths: Mapping[str, int]) -> bool:
        """Whether a weight lies in the last layers, behind them, or in embeddings that are trained."""
        part = part_of(name)
        if part.kind == "layer":
            return self.layers == "all" or part.layer >= depths[part.stack] - self.layers
        return part.kind == "output" or self.embeddings

    def words(self) -> str:
        """In a few words."""
        last = f"the last {plural(self.layers, 'layer')}" if self.layers != "all" and self.layers else ""
        if self.parameters:
            within = f" in {last}" if last else ""
            return f"partial fine-tuning, {self.pattern_words()}{within}"
        which = "all layers" if self.layers == "all" else last
        parts = (which, "embeddings" if self.embeddings else "", "the output layer")
        words = " and ".join(part for part in parts if part)
        return ", ".join(part for part in (words, self.pattern_words()) if part)


PARTIAL = Card(
    kind="partial",
    recipe=Partial,
    settings=PartialSettings,
    label="partial fine-tuning",
    tag="partial",
    result="model",
    library="transformers",
    rate=UsualRate(2e-5, 1e-6, 5e-4, "as for full fine-tuning", 2048, 1, 1),
    libraries=(),
    marks=(),
    no_sharding=None,
    divides_layers=True,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=(),
    reads_images=False,
    foreign_names={"llamafactory": ("freeze",)},
)
