"""Which of the model's own weights are trained, where patterns of their names choose them."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer

from ftc.spec.experts import expert_group
from ftc.spec.module_names import depths_of, part_of
from ftc.spec.parameter_patterns import close_names, fits, fits_any
from ftc.spec.strategies.card import Base, Choices, Problem, Trained, Traits
from ftc.spec.strategies.common import WholeSettings, plural

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts

__all__ = ["ChosenSettings", "count_chosen", "is_tied_output", "misnamed_parameters"]

_SHOWN = 3
"""Patterns that stand in a strategy's few words."""


class ChosenSettings(WholeSettings):
    """Weights of the model itself are trained, chosen by their names.

    What patterns add is absent from plans without patterns.
    """

    parameters: tuple[str, ...] = ()
    """Patterns that a trained weight's name fits; none where any name does."""
    freeze: tuple[str, ...] = ()
    """Patterns of weights that are not trained."""
    head_modules: tuple[str, ...] = ()
    """Modules of a new head, which are trained whatever the patterns say."""
    num_weights: int | None = None
    """Weights of the base that the patterns choose; checked when the model is built. None without patterns."""
    differs_by_layer: bool = False
    """Whether like weights are trained in some layers of a stack and not in others."""

    @model_serializer(mode="wrap")
    def _without_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        usual = {name: field.default for name, field in ChosenSettings.model_fields.items()}
        absent = {name for name, value in usual.items() if getattr(self, name) == value}
        return {name: value for name, value in handler(self).items() if name not in absent}

    @property
    def has_patterns(self) -> bool:
        """Whether names decide."""
        return bool(self.parameters or self.freeze)

    @property
    def traits(self) -> Traits:
        """Those of a plain model."""
        return replace(super().traits, differs_by_layer=self.differs_by_layer)

    @property
    def deepest_trained(self) -> int | None:
        """How many last layers of each stack are trained, where those before them stay as they are; None for all."""
        return None

    def with_deepest_trained(self, layers: int) -> Self:
        """The same for a model with fewer layers, of which so many last ones are trained."""
        return self

    @abstractmethod
    def is_candidate(self, name: str, depths: Mapping[str, int]) -> bool:
        """Whether the kind of strategy trains a weight, by its name and the number of layers of each stack."""

    def is_trained(self, name: str, depths: Mapping[str, int], aliases: Collection[str] = ()) -> bool:
        """Whether a weight is trained.

        Args:
            name: The name of the weight, as the model has it.
            depths: Layers of each stack.
            aliases: What else it is called: its names in the model's files.
        """
        if not self.has_patterns:
            return self.is_candidate(name, depths)
        if self.is_of_head(name):
            return True
        names = (name, *aliases)
        is_chosen = not self.parameters or fits_any(self.parameters, names)
        return is_chosen and not fits_any(self.freeze, names) and self.is_candidate(name, depths)

    def is_of_head(self, name: str) -> bool:
        """Whether a weight belongs to a new head."""
        return fits_any(self.head_modules, (name,))

    def trained_by_name(self, base: Base) -> Trained:
        """What the patterns leave to train, and how far down gradients go for it."""
        depths = depths_of(base.model.tensors)
        found = {name: one for name, one in base.trainable.items() if self.is_trained(name, depths)}
        modules = {name.rpartition(".")[0] for name in found}
        linear = modules.intersection(base.model.linear_modules)
        if base.model.experts is not None:
            linear |= {expert_group(name) for name in found}.intersection(base.model.experts.layers)
        of_images = {name for name in found if _reads_images(name, base)}
        from_start = bool(of_images) or any(part_of(name).kind == "embeddings" for name in found)
        return Trained(
            num_weights=sum(one.num_elements for one in found.values()),
            num_saved=sum(one.num_elements for one in base.held.values()),
            num_frozen=0,
            beside={},
            own=frozenset(linear),
            names=frozenset(found),
            from_start=from_start,
            first_behind=False,
            last_layers=None if from_start else _last_layers(found, depths),
            products=bool(linear),
            norms=len(found) > len(of_images) and not linear,
            dropout=False,
        )

    def pattern_words(self) -> str:
        """`only lm_head and norm`, `without embed_tokens`; empty without patterns."""
        only = f"only {_listed(self.parameters)}" if self.parameters else ""
        without = f"without {_listed(self.freeze)}" if self.freeze else ""
        return ", ".join(part for part in (only, without) if part)


def _reads_images(name: str, base: Base) -> bool:
    """Whether a weight lies in front of the language model, so that gradients go all the way through that."""
    vision = base.model.vision
    return vision is not None and vision.card.part_of(name) != "language_model"


def _listed(patterns: tuple[str, ...]) -> str:
    shown, more = patterns[:_SHOWN], len(patterns) - _SHOWN
    return ", ".join(shown) + (f" and {plural(more, 'more pattern')}" if more > 0 else "")


def _last_layers(names: Collection[str], depths: Mapping[str, int]) -> int:
    """Layers of a stack from the first one on of which something is trained; the most of all stacks."""
    parts = [part for name in names if (part := part_of(name)).kind == "layer"]
    return max((depths[part.stack] - part.layer for part in parts), default=0)


def count_chosen(chosen: Choices, settings: ChosenSettings, base: Base) -> ChosenSettings:
    """Settles what follows from the patterns: how many weights they choose, and whether layers differ.

    Problems are collected: patterns that fit nothing, and experts of which only some are chosen.
    """
    if not settings.has_patterns:
        return settings
    settings = settings.model_copy(update={"head_modules": base.head_modules})
    chosen.derive("head_modules", base.head_modules, "a new head is trained in any case")
    found = settings.trained_by_name(base).names
    for key, patterns in (("parameters", settings.parameters), ("freeze", settings.freeze)):
        chosen.problems.extend(misnamed_parameters(patterns, key, base))
    chosen.problems.extend(_parted_experts(settings, base, found))
    if not found and not base.head_modules and not chosen.problems:
        key = "parameters" if settings.parameters else "freeze"
        summary = "the patterns leave no parameter to train"
        chosen.problems.append(Problem("FTC272", summary, key, "choose fewer frozen or more trained parameters"))
    size = sum(base.held[name].num_elements for name in found)
    differs = _differs_by_layer(base.trainable, found)
    words = f"{len(found):,} of {len(base.held):,} stored tensors have such names"
    return settings.model_copy(
        update={
            "num_weights": chosen.derive("num_weights", size, words),
            "differs_by_layer": chosen.derive("differs_by_layer", differs, "by the names of what is trained"),
        }
    )


def misnamed_parameters(patterns: tuple[str, ...], key: str, base: Base) -> Iterator[Problem]:
    """Patterns that fit no stored weight, or only weights that another key keeps from training."""
    for position, pattern in enumerate(patterns):
        fitting = [name for name in base.held if fits(pattern, name)]
        path = f"{key}[{position}]"
        if not fitting and fits_any((pattern,), base.head_modules):
            summary, help = f"`{pattern}` is the new head, which is always trained", "remove it"
            yield Problem("FTC452", summary, path, help)
        elif not fitting and not is_tied_output(pattern, patterns, base.model):
            summary = f"no parameter of `{base.model.name}` has a name with `{pattern}`"
            is_tied = base.model.tied_embeddings and fits(pattern, "lm_head.weight")
            help = "the output layer has the weights of the embeddings; name those" if is_tied else ""
            yield Problem("FTC452", summary, path, help or close_names(pattern, base.held))
        elif fitting and key == "parameters" and base.kept.issuperset(fitting):
            summary = f"`{pattern}` names only routers of experts, which are not trained"
            yield Problem("FTC452", summary, path, "set `train_router: true` in `train`")


def is_tied_output(pattern: str, patterns: Collection[str], model: ModelFacts) -> bool:
    """Whether a pattern means an output layer whose weights are the embeddings', which another of the patterns names.

    Lists that were written for many models name both.
    """
    if not (model.tied_embeddings and fits(pattern, "lm_head.weight")):
        return False
    return any(part_of(name).kind == "embeddings" and fits_any(patterns, (name,)) for name in model.tensors)


def _parted_experts(settings: ChosenSettings, base: Base, found: Collection[str]) -> Iterator[Problem]:
    """Layers of which some weights of experts are trained and others not: in memory all are one tensor or two."""
    mixture = base.model.kind.experts
    groups: dict[str, list[bool]] = defaultdict(list)
    for name in base.trainable if mixture is not None else ():
        if mixture is not None and mixture.is_expert(name):
            groups[expert_group(name)].append(name in found)
    parted = [group for group, trained in groups.items() if any(trained) and not all(trained)]
    if parted:
        key = "parameters" if settings.parameters else "freeze"
        summary = f"some weights of `{parted[0]}` would be trained and others not"
        help = "choose all weights of a layer's experts, or none"
        yield Problem("FTC453", summary, key, help, "transformers holds all experts of a layer in one tensor")


def _differs_by_layer(names: Collection[str], found: Collection[str]) -> bool:
    """Whether one layer of a stack has a weight trained that another has frozen."""
    verdicts: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for name in names:
        if (part := part_of(name)).kind == "layer":
            _, _, inner = name.removeprefix(f"{part.stack}.").partition(f".{part.layer}.")
            verdicts[part.stack, inner].add(name in found)
    return any(len(both) > 1 for both in verdicts.values())
