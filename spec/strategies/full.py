"""Full training: every weight."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false
# mypy judges these: pyright widens what `Choices.take` hands through, and takes the base's `kind` for a method.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.module_names import ModelPart
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
from ftc.spec.strategies.common import Simple

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = ["FULL", "Full", "FullSettings"]

_USUALLY_TRAINED: tuple[ModelPart, ...] = ("projector", "language_model")
"""As LLaVA and Qwen2.5-VL were tuned."""


class Full(Simple):
    """Every weight is trained; of routers of experts none, unless `train.train_router` says so."""

    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "freeze": (("embed_tokens",), ("embeddings", "layer.[0-5]")),
        "train_parts": ("auto", ("projector",), ("vision_tower", "projector", "language_model")),
    }

    kind: Literal["full"]
    freeze: tuple[ParameterPattern, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """Parameters that are not trained, by patterns of their names: whole parts of a name, in which `*`, `?` and `[0-9]`
    match characters of one part, such as `[embed_tokens, "layers.[0-7]"]`. Gradients and optimizer state are kept
    only for the others. Default: none, so that every weight is trained of the parts that `train_parts` names."""
    train_parts: Literal["auto"] | Annotated[tuple[ModelPart, ...], Field(min_length=1, max_length=3)] = "auto"
    """Parts of a model that reads images which are trained: `vision_tower`, `projector`, `language_model`. Default
    `auto`: projector and language model, as LLaVA and Qwen2.5-VL were tuned; the tower saw far more images in its
    pretraining than most tasks have, and frozen it needs no gradients and no optimizer state."""

    def settle(self, base: Base) -> Settled:
        """What parts and patterns leave to train."""
        chosen = Choices()
        settings = FullSettings(kind=chosen.take("kind", self.kind))
        if self.freeze:
            settings = settings.model_copy(update={"freeze": chosen.take("freeze", self.freeze)})
        if base.model.vision is not None:
            settings = self._without_parts(chosen, settings, base)
        elif self.train_parts != "auto":
            summary = f"`train_parts` has no effect: `{base.model.name}` reads text alone"
            chosen.problems.append(Problem("FTC230", summary, "train_parts", "remove `train_parts`"))
        return Settled(count_chosen(chosen, settings, base), chosen.reasons, tuple(chosen.problems), ())

    def _without_parts(self, chosen: Choices, settings: FullSettings, base: Base) -> FullSettings:
        """The settings with patterns for the parts of a model that reads images: what stays frozen, or what doesn't."""
        assert base.model.vision is not None, "the model reads images"
        card, names = base.model.vision.card, base.model.tensors
        parts: tuple[ModelPart, ...] = _USUALLY_TRAINED if self.train_parts == "auto" else self.train_parts
        beside: tuple[ModelPart, ...] = ("vision_tower", "projector")
        if "language_model" not in parts:
            only = tuple(one for part in beside if part in parts for one in card.patterns(part, names))
            words = "`train_parts` names no language model"
            return settings.model_copy(update={"parameters": chosen.derive("parameters", only, words)})
        frozen = tuple(one for part in beside if part not in parts for one in card.patterns(part, names))
        if not frozen:
            return settings
        words = "parts that `train_parts` leaves out"
        if self.train_parts == "auto":
            words = "the tower learned from far more images than a task has"
        frozen = chosen.derive("freeze", (*self.freeze, *frozen), words)
        return settings.model_copy(update={"freeze": frozen})

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
    reads_images=True,
    foreign_names={"axolotl": ("",), "llamafactory": ("full",), "torchtune": ("full",), "trl": ("",), "oumi": ("",)},
)
