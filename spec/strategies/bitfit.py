"""BitFit: biases alone."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    Problem,
    Settled,
    Trained,
    Traits,
    UsualRate,
)
from ftc.spec.strategies.common import Simple, WholeSettings

__all__ = ["BITFIT", "BitFit", "BitFitSettings"]


class BitFit(Simple):
    """Only biases and a new head are trained (Ben Zaken et al. 2021)."""

    kind: Literal["bitfit"]

    def settle(self, base: Base) -> Settled:
        """A model without biases has nothing to train."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        if not any(name.endswith(".bias") for name in base.trainable):
            summary = f"a `{base.model.model_type}` model has no biases"
            chosen.problems.append(Problem("FTC272", summary, "kind", "choose `ln_tuning`, or `lora`"))
        settings = BitFitSettings(kind=kind, trained_modules=chosen.head("trained_modules", base))
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())


class BitFitSettings(WholeSettings):
    """Biases are trained, and a new head."""

    kind: Literal["bitfit"]
    trained_modules: tuple[str, ...] = ()
    """Modules of a new head."""

    @property
    def traits(self) -> Traits:
        """Those of a plain model with a new head."""
        return replace(super().traits, new_modules=self.trained_modules)

    def trained(self, base: Base) -> Trained:
        """All vectors that are called a bias."""
        vectors = {name: one for name, one in base.trainable.items() if len(one.shape) == 1}
        biases = {name: one for name, one in vectors.items() if name.rpartition(".")[2] == "bias"}
        return Trained(
            num_weights=sum(one.num_elements for one in biases.values()),
            num_saved=sum(one.num_elements for one in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset(),
            names=frozenset(biases),
            from_start=True,
            first_behind=False,
            last_layers=None,
            products=False,
            norms=False,
            dropout=False,
        )

    def words(self) -> str:
        """In a few words."""
        return "only biases"


BITFIT = Card(
    kind="bitfit",
    recipe=BitFit,
    settings=BitFitSettings,
    label="BitFit",
    tag="bitfit",
    result="model",
    library="transformers",
    rate=UsualRate(4e-4, 1e-5, 1e-2, "Ben Zaken et al. 2021, who search 1e-4 to 1e-3", None, 1, 1),
    libraries=(),
    marks=(),
    no_sharding=None,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=(),
    reads_images=False,
    foreign_names={},
)
