"""What a strategy is to the rest of ftc: a section of the recipe, the settled values, and a card without defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar

from ftc.spec.base import Document, Effect
from ftc.spec.strategies.rates import UsualRate
from ftc.spec.strategies.trained import Beside, Trained

if TYPE_CHECKING:
    from ftc.spec.documents.facts import ModelFacts, TensorFacts
    from ftc.spec.documents.imported import Tool
    from ftc.spec.heads import Head
    from ftc.spec.strategies.on_experts import AskedExperts

__all__ = [
    "Base",
    "Beside",
    "Card",
    "Choices",
    "Obstacle",
    "PeftMethod",
    "Problem",
    "Quantized",
    "Reason",
    "Settled",
    "Strategy",
    "StrategySettings",
    "Trained",
    "Traits",
    "UsualRate",
]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Base:
    """The base model as strategies see it.

    Attributes:
        model: Its facts.
        head: What the task's model ends in.
        head_modules: Modules of a new head; empty for the model's own.
        held: Stored weights that the task's model holds, by name.
        on_card: Whether the run is on a CUDA device.
        kept: Those of the held weights that no strategy trains: routers of experts, unless the recipe asks for it.
    """

    model: ModelFacts
    head: Head
    head_modules: tuple[str, ...]
    held: Mapping[str, TensorFacts]
    on_card: bool
    kept: frozenset[str]

    @property
    def trainable(self) -> dict[str, TensorFacts]:
        """Stored weights that a strategy may train, by name."""
        return {name: self.held[name] for name in self.held if name not in self.kept}


class Reason(NamedTuple):
    """Where a settled value came from.

    Attributes:
        words: Why it was derived; empty where the recipe's value was taken as it is.
        key: The key of the recipe whose value was taken, or whose origin ends the words; empty for none.
    """

    words: str
    key: str


class Problem(NamedTuple):
    """A finding at a key of the strategy."""

    code: str
    summary: str
    key: str
    help: str
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """Collects, while a strategy is settled, the origin of each value and what is wrong with it."""

    reasons: dict[str, Reason] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def take(self, path: str, value: _T, key: str = "") -> _T:
        """Settles a value of the recipe; its key differs from its path where sections do."""
        self.reasons[path] = Reason("", key or path)
        return value

    def derive(self, path: str, value: _T, words: str, *, key: str = "") -> _T:
        """Settles a value that follows from facts; the origin of a key may end the words."""
        self.reasons[path] = Reason(words, key)
        return value

    def head(self, path: str, base: Base) -> tuple[str, ...]:
        """Settles the modules of a new head, which every adapter trains whole."""
        frozen, drawn = "all modules outside the adapter stay frozen", "the new head starts from random weights"
        return self.derive(path, base.head_modules, drawn if base.head_modules else frozen)

    def places(self, path: str, kind: str, found: Mapping[str, object], base: Base) -> int:
        """Settles how many modules an adapter changes; a problem where there are none."""
        if not found:
            summary = f"a `{base.model.model_type}` model has nothing that `{kind}` can train"
            self.problems.append(Problem("FTC272", summary, "kind", "choose `lora`, which fits any linear layer"))
        return self.derive(path, len(found), "modules of the base model that it changes, by name")


class Settled(NamedTuple):
    """A settled strategy.

    Attributes:
        settings: With nothing left open.
        reasons: Where each value came from, by its path below `strategy`, in the order in which they were settled.
        problems: What is wrong with it.
        not_estimated: What the estimates leave out, in words.
    """

    settings: StrategySettings
    reasons: Mapping[str, Reason]
    problems: tuple[Problem, ...]
    not_estimated: tuple[str, ...]


class Quantized(NamedTuple):
    """How the frozen linear layers are packed.

    Attributes:
        type: Of the packed weights.
        double: Whether the scales are quantized too.
    """

    type: Literal["nf4", "fp4", "int8"]
    double: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a run has to know of settled values, whatever the strategy.

    Attributes:
        num_virtual: Tokens of its own before every row; 0 for none.
        new_modules: Modules of a new head, which are trained whole beside an adapter.
        quantized: How frozen weights are packed; None where they are not.
        changes_base: Whether the adapter begins with directions that it took out of the base's weights.
        differs_by_layer: Whether adapters of like modules have other shapes in other layers.
        merge_copies: Copies of a weight, in float32, while the adapter becomes part of it; 0 where it never can.
        adapter: The adapter's numbers for people, beside `words`; empty where those say it all.
        targets: Last parts of the names of the modules that it adapts, where the recipe can choose them.
        of_experts: Ends of the names of the tensors of experts that it adapts, which are among the targets.
        rank: Rank of what stands beside each layer, where the recipe can choose it.
    """

    num_virtual: int
    new_modules: tuple[str, ...]
    quantized: Quantized | None
    changes_base: bool
    differs_by_layer: bool
    merge_copies: int
    adapter: str
    targets: tuple[str, ...]
    of_experts: tuple[str, ...]
    rank: int | None


class PeftMethod(NamedTuple):
    """What peft is asked for: a class of configuration with arguments, and the class of layers by which it is counted.

    Beside the arguments it gets the modules that are found in the loaded model.
    """

    config: str
    arguments: Mapping[str, Any]
    layer: str


class Obstacle(NamedTuple):
    """Why something can't be done with a strategy, and what to choose instead."""

    reason: str
    help: str


class Strategy(Document, ABC):
    """A strategy as a recipe has it."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS
    UNITS: ClassVar[dict[str, str]] = {}
    """Units of fields that can be numbers."""
    EXAMPLES: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Values that make sense for a field."""

    if TYPE_CHECKING:

        @property
        def kind(self) -> str:
            """The word by which strategies are told apart."""
            ...

    @property
    def of_experts(self) -> AskedExperts:
        """Tensors of a mixture's experts that get an adapter, too."""
        return ()

    @abstractmethod
    def settle(self, base: Base) -> Settled:
        """Decides what the recipe leaves open."""

    @abstractmethod
    def conflicts(self) -> Iterator[Problem]:
        """Values of the section that exclude each other, or have no effect."""

    @abstractmethod
    def usual_rate(self, card: Card, width: int, *, has_new_head: bool) -> tuple[float, str]:
        """What `learning_rate: auto` is with AdamW, and why: by the strategy's card, the hidden size and the head."""

    @abstractmethod
    def second_rate_ratio(self) -> float | None:
        """Learning rate of the adapter's second matrix by that of its first; None where there is no such matrix."""

    @abstractmethod
    def smaller(self, model: ModelFacts) -> Iterator[Iterator[tuple[str, Any]]]:
        """Changes of the recipe that take less memory, as paths with values: each kind from its smallest change on."""


class StrategySettings(Document, ABC):
    """A strategy with nothing left open, as a run carries it out."""

    if TYPE_CHECKING:

        @property
        def kind(self) -> str:
            """The word by which strategies are told apart."""
            ...

    @property
    @abstractmethod
    def traits(self) -> Traits:
        """What a run has to know, whatever the strategy."""

    @abstractmethod
    def trained(self, base: Base) -> Trained:
        """What is trained of a model, counted from its shapes."""

    @abstractmethod
    def misfit(self, base: Base, task: str) -> Problem | None:
        """Why this kind of model can't do a task with it; None where it can. The task is in words."""

    @abstractmethod
    def words(self) -> str:
        """The strategy in a few words: `LoRA r=16 on 24 modules`."""

    def no_lora_file(self) -> str | None:
        """Why what it trained can't be a LoRA file of other programs, beside the base as it is; None where it can."""
        return "it is no LoRA, and such a file holds two matrices a layer"

    def needs_whole(self) -> str | None:
        """The key because of which it can't stand beside layers that stay quantized in memory; None where it can."""
        return "kind"

    @abstractmethod
    def unpacked(self) -> StrategySettings | None:
        """The same beside weights that are not packed; None where they aren't anyway."""

    @abstractmethod
    def peft(self) -> PeftMethod | None:
        """What peft is asked for; None where it has no such method."""


class Card(NamedTuple):
    """Facts that hold for every plan of a kind of strategy.

    Attributes:
        kind: What a recipe calls it.
        recipe, settings: The section of the recipe, and what is settled of it.
        label: Its name for people.
        tag: What the hub calls it.
        result: What a run leaves behind: a model, or an adapter beside the base.
        library: What loads the result, by the hub's name.
        rate: Usual learning rates.
        libraries: Packages that a run needs beside torch and transformers.
        marks: Parts of parameters' names by which an adapter's are known.
        no_sharding: Why torch's `fully_shard` can't divide it; None where it can.
        divides_layers: Whether what it trains follows the columns and rows of layers that devices divide.
        no_recomputing: Why activations can't be computed again in the backward pass; None where they can.
        no_merging: Why its adapter can't become part of the base's weights; None where it can, or where there is none.
        saves_what_it_trains: Whether the saved tensors are those that were trained, and not what they lead to.
        folds_in: Whether a run in float32 measures with the adapter added to the weights, which is as exact.
        rounds: Keys at their defaults where QAT rounds its weights, or their sum with an adapter; None where it can't.
        reads_images: Whether it can train a model that reads images.
        foreign_names: What other tools call it, an empty word for what they do by default; none where they lack it.
            `peft` stands for its `peft_type`, in lower case.
    """

    kind: str
    recipe: type[Strategy]
    settings: type[StrategySettings]
    label: str
    tag: str
    result: Literal["model", "adapter"]
    library: Literal["transformers", "peft", "ftc"]
    rate: UsualRate
    libraries: tuple[str, ...]
    marks: tuple[str, ...]
    no_sharding: Obstacle | None
    divides_layers: bool
    no_recomputing: Obstacle | None
    no_merging: str | None
    saves_what_it_trains: bool
    folds_in: bool
    rounds: tuple[str, ...] | None
    reads_images: bool
    foreign_names: Mapping[Literal["peft"] | Tool, tuple[str, ...]]

    @property
    def is_whole(self) -> bool:
        """Whether a run leaves a model behind, and not an adapter beside one."""
        return self.result == "model"

    @property
    def head_rate(self) -> tuple[float, str]:
        """The learning rate of a new head with AdamW, and why; `benchmarks/defaults.py` measures it."""
        return (1e-3, "Adam's own (Kingma & Ba 2015)") if self.is_whole else (5e-3, "more than the adapter's")
