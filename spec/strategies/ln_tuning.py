"""LN tuning: the weights of norms."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from ftc.spec.module_names import head_parts
from ftc.spec.strategies.card import (
    Base,
    Card,
    Choices,
    PeftMethod,
    Settled,
    Trained,
    UsualRate,
)
from ftc.spec.strategies.common import AdaptedSettings, Simple, beside_trained, plural

__all__ = ["LN_TUNING", "LnTuning", "LnTuningSettings"]


class LnTuning(Simple):
    """Only the weights of norms and a new head are trained (Zhao et al. 2023)."""

    kind: Literal["ln_tuning"]

    def settle(self, base: Base) -> Settled:
        """How many norms there are."""
        chosen = Choices()
        kind = chosen.take("kind", self.kind)
        head = chosen.head("trained_modules", base)
        count = chosen.places("num_modules", self.kind, _norms(base), base)
        settings = LnTuningSettings(kind=kind, num_modules=count, trained_modules=head)
        return Settled(settings, chosen.reasons, tuple(chosen.problems), ())


class LnTuningSettings(AdaptedSettings):
    """Weights of norms are trained."""

    kind: Literal["ln_tuning"]

    def trained(self, base: Base) -> Trained:
        """Copies of the norms, with their biases."""
        norms = _norms(base)
        found = beside_trained(sum(norms.values()), {})
        return replace(found, names=frozenset(norms), from_start=True, norms=True)

    def words(self) -> str:
        """In a few words."""
        return f"the weights of {plural(self.num_modules, 'norm')}"

    def peft(self) -> PeftMethod:
        """peft's own."""
        return PeftMethod("LNTuningConfig", {}, "LNTuningLayer")


def _norms(base: Base) -> dict[str, int]:
    """Norms of the backbone by full name, and the weights of each."""
    found = {}
    for name, tensor in base.held.items():
        module, _, last = name.rpartition(".")
        if last == "weight" and len(tensor.shape) == 1 and not head_parts(module):
            bias = base.held.get(f"{module}.bias")
            found[module] = tensor.num_elements + (bias.num_elements if bias else 0)
    return found


LN_TUNING = Card(
    kind="ln_tuning",
    recipe=LnTuning,
    settings=LnTuningSettings,
    label="LN tuning",
    tag="ln-tuning",
    result="adapter",
    library="peft",
    rate=UsualRate(1e-3, 1e-5, 5e-2, "peft's examples; Zhao et al. 2023 tune it per model", None, 1, 1),
    libraries=("peft",),
    marks=("ln_tuning_layers",),
    no_sharding=None,
    divides_layers=False,
    no_recomputing=None,
    no_merging=None,
    saves_what_it_trains=True,
    folds_in=False,
    rounds=None,
    reads_images=False,
    foreign_names={"peft": ("ln_tuning",)},
)
