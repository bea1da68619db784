"""Full training: every weight."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.parameter_patterns import MOST_PATTERNS, ParameterPattern
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.chosen import ChosenSettings, count_chosen
from ftc.spec.strategies.common import Simple

__all__ = ["FULL", "Full", "FullSettings"]


class Full(Simple):
    """Every weight is trained; of routers of experts none, unless `train.train_router` says so."""

    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {"freeze": (("embed_tokens",), ("embeddings", "layer.[0-5]"))}

    kind: Literal["full"]
    freeze: tuple[ParameterPattern, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """Parameters that are not trained, by patterns of their names: whole parts of a name, in which `*`, `?` and `[0-9]`
    match characters of one part, such as `[embed_tokens, "layers.[0-7]"]`. Gradients and optimizer state are kept
    only for the others. Default: none, so that every weight is trained."""

    def settle(self, base: Base) -> Settled:
        """What patterns leave to train."""
        chosen = Choices()
        settings = FullSettings(kind=chosen.take("kind", self.kind))
        if self.freeze:
            settings = settings.model_copy(update={"freeze": chosen.take("freeze", self.freeze)})
        return Settled(count_chosen(chosen, settings, base), chosen.reasons, tuple(chosen.problems), ())

    def smaller(self, model: ModelFacts) -> Iterator[Iterator[tuple[str, Any]]]:
        """The last layers alone, ever fewer of them; or an adapter."""
        halves = (model.num_layers >> times for times in range(1, model.num_layers.bit_length()))
        yield (("strategy", {"kind": "partial", "layers": layers}) for layers in halves)
        packed = [("strategy", {"kind": "qlora"})] if model.experts is None else []
        yield iter([("strategy", {"kind": "lora"}), *packed])


class FullSettings(ChosenSettings):
    """Every weight is trained."""

    kind: Literal["full"]

    def trained(self, base: Base) -> Trained:
        """All that the task's model holds, or what patterns leave of it."""
        if self.has_patterns:
            return self.trained_by_name(base)
        return Trained(
            num_weights=sum(tensor.num_elements for tensor in base.trainable.values()),
            num_saved=sum(tensor.num_elements for tensor in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset((*base.model.linear_modules, *(base.model.experts.layers if base.model.experts else ()))),
            names=frozenset(base.trainable),
            from_start=True,
            first_behind=False,
            last_layers=None,
            products=True,
            norms=False,
            dropout=False,
        )

    def is_candidate(self, name: str, depths: Mapping[str, int]) -> bool:
        """Every weight is one."""
        return True

    def words(self) -> str:
        """In a few words."""
        return f"full fine-tuning {self.pattern_words()}".strip()


FULL = Card(
    kind="full",
    recipe=Full,
    settings=FullSettings,
    label="full fine-tuning",
    tag="full-fine-tuning",
    result="model",
    library="transformers",
    rate=UsualRate(
        2e-5, 1e-6, 5e-4, "usual fine-tuning rate of BERT and most later models (Devlin et al. 2019)", 2048, 1, 1
    ),
    libraries=(),
    marks=(),
    no_sharding=None,
    divides_layers=True,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=(),
    foreign_names={"axolotl": ("",), "llamafactory": ("full",), "torchtune": ("full",), "trl": ("",), "oumi": ("",)},
)
