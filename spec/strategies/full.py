"""Full training: every weight."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ftc.spec.documents.facts import ModelFacts
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.common import Simple, WholeSettings

__all__ = ["FULL", "Full", "FullSettings"]


class Full(Simple):
    """Every weight is trained; of routers of experts none, unless `train.train_router` says so."""

    kind: Literal["full"]

    def settle(self, base: Base) -> Settled:
        """There is nothing to decide."""
        chosen = Choices()
        settings = FullSettings(kind=chosen.take("kind", self.kind))
        return Settled(settings, chosen.reasons, (), ())

    def smaller(self, model: ModelFacts) -> Iterator[Iterator[tuple[str, Any]]]:
        """The last layers alone, ever fewer of them; or an adapter."""
        halves = (model.num_layers >> times for times in range(1, model.num_layers.bit_length()))
        yield (("strategy", {"kind": "partial", "layers": layers}) for layers in halves)
        packed = [("strategy", {"kind": "qlora"})] if model.experts is None else []
        yield iter([("strategy", {"kind": "lora"}), *packed])


class FullSettings(WholeSettings):
    """Every weight is trained."""

    kind: Literal["full"]

    def trained(self, base: Base) -> Trained:
        """All that the task's model holds."""
        return Trained(
            num_weights=sum(tensor.num_elements for tensor in base.trainable.values()),
            num_saved=sum(tensor.num_elements for tensor in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset((*base.model.linear_modules, *(base.model.experts.layers if base.model.experts else ()))),
            from_start=True,
            first_behind=False,
            last_layers=None,
            products=True,
            norms=False,
            dropout=False,
        )

    def words(self) -> str:
        """In a few words."""
        return "full fine-tuning"


FULL = Card(
    kind="full",
    recipe=Full,
    settings=FullSettings,
    label="full fine-tuning",
    tag="full-fine-tuning",
    result="model",
    library="transformers",
    rate=UsualRate(
        2e-5, 1e-6, 5e-4, "usual fine-tuning rate of BERT and most later models (Devlin et al. 2019)", 2048, 1
    ),
    libraries=(),
    marks=(),
    no_sharding=None,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    foreign_names={"axolotl": ("",), "llamafactory": ("full",), "torchtune": ("full",), "trl": ("",), "oumi": ("",)},
)
