"""What is known of a task: the section of the recipe, its card, and the modes that it can be done in.

A task is a class in a file of its own, listed in `ftc.spec.tasks.TASKS`. Everything else asks its card and its mode.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import Field

from ftc.spec.architectures import Family
from ftc.spec.base import Document, Effect
from ftc.spec.embedding_losses import EmbeddingLossCard
from ftc.spec.extension_points import PointKind
from ftc.spec.heads import Head, Labels, head_card
from ftc.spec.metrics import Trait
from ftc.spec.number_losses import NumberLossCard
from ftc.spec.preference_losses import PreferenceLossCard
from ftc.spec.reranking_losses import RerankingLossCard
from ftc.spec.tasks.least_steps import OF_ANSWERS, OF_NEW_HEAD, LeastSteps
from ftc.spec.tasks.parts import Part
from ftc.spec.tasks.rows import RowKind
from ftc.spec.tasks.signs import Guessed, Sign, SignKind, section_line
from ftc.spec.tasks.turns import TrainOn
from ftc.spec.text_forms import FormName, form_card

if TYPE_CHECKING:
    from ftc.spec.documents.loss_settings import SamplingSettings

__all__ = [
    "EVERY_FAMILY",
    "OF_ANSWERS",
    "OF_NEW_HEAD",
    "Guessed",
    "LeastSteps",
    "Mode",
    "PromptFacts",
    "Prompted",
    "Scale",
    "Sign",
    "SpanShare",
    "TaskCard",
    "TaskSection",
    "Unused",
    "unused",
]

Scale = Literal["standard", "none"]
"""How numbers are learned: in standard deviations from the mean of the training rows, or as they are."""

EVERY_FAMILY: tuple[Family, ...] = ("encoder", "decoder", "encoder_decoder")


class SpanShare(NamedTuple):
    """How much of a text is missing in span corruption."""

    share: float
    mean_length: float
    """Tokens of a missing span on average."""


class Unused(NamedTuple):
    """A key of a task that does nothing in a mode."""

    key: str
    summary: str
    help: str


def unused(keys: Sequence[str], what: str) -> tuple[Unused, ...]:
    """Keys that do nothing for what the other mode doesn't do."""
    return tuple(
        Unused(key, f"`{key}` has no effect for {what}", f"remove `{key}`, or write the other `mode`") for key in keys
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One way to do a task: what becomes of its rows, what the model ends in, and what is said of it."""

    option: str | None
    """What the recipe's `mode` calls it; None for a task that has one mode alone."""
    families: tuple[Family, ...]
    """Families of models that it is chosen for, where the recipe leaves the mode open."""
    form: FormName
    """How a row becomes tokens."""
    head: Head
    reason: str
    """Why rows take this form; `{family}` stands for the model's."""
    no_prompt: tuple[str, str] | None
    """Why there is no prompt template, and why no system message; None where the model is asked with a prompt."""
    unused: tuple[Unused, ...]
    """Keys of the task that do nothing, which a recipe must not set."""
    traits: tuple[Trait, ...]
    """What its labels are, which decides what it can be measured by; empty for a task without labels."""
    usual_metrics: tuple[str, ...]
    """Metrics of `auto`."""
    least_steps: LeastSteps | None
    """How long training is at least; None where more passes over few rows do harm, or nobody knows."""
    does: str
    """What a model for it does: completes "A model that …"."""
    pipeline: str
    """The hub's name of the task."""
    split_pipeline: str
    """The same for an encoder-decoder."""

    @property
    def writes_labels(self) -> bool:
        """Whether the model writes the labels of rows, so that their metrics need written answers."""
        return "generative" in self.traits

    @property
    def scores_words(self) -> bool:
        """Whether each target is a token of its own loss, with scores over the vocabulary."""
        form = form_card(self.form)
        return head_card(self.head).scores_vocabulary and not form.is_pair and not form.is_sampled

    @property
    def loss_point(self) -> PointKind | None:
        """Which losses of packages can take the place of its own; None where a loss isn't that of one target."""
        head = head_card(self.head)
        return head.loss_point if self.scores_words or head.is_new else None

    @property
    def sorts_rows(self) -> bool:
        """Whether a row has classes as a whole, so that counts of its tokens can be a baseline."""
        return bool({"single_label", "multi_label"}.intersection(self.traits))

    @property
    def labels(self) -> Labels | None:
        """How labels belong to a row; None for rows without."""
        return "one" if self.writes_labels else head_card(self.head).labels

    def pipeline_of(self, family: Family) -> str:
        """The hub's name of the task, done by a model of a family."""
        return self.split_pipeline if family == "encoder_decoder" else self.pipeline


class TaskCard(NamedTuple):
    """What is known of a task whatever its options."""

    parts: tuple[Part, ...]
    """What it can read of a row, in the order in which people are told."""
    row_forms: tuple[tuple[str, ...], ...]
    """The parts of each kind of row that it can read, the usual one first."""
    template_form: tuple[str, ...] | None
    """What is left of them where a prompt template takes the place of the others; None where they stay."""
    written_parts: tuple[str, ...]
    """Parts whose text the model learns to write, of which a row has one; empty where the answer is made of a part, or
    nothing is written."""
    answer_parts: tuple[str, ...]
    """Parts that say what a model should answer, which rows to predict for need not have."""
    beside: Mapping[str, tuple[str, ...]]
    """Optional parts, which a row may have besides, by name, and the parts that each may stand beside."""
    signs: tuple[tuple[Sign, ...], ...]
    """What tells that rows are for it; all signs of any one of these have to be there."""
    guess_order: int
    """Place in the order in which `ftc init` looks for signs, with gaps: more telling signs are looked for first."""
    guessed: tuple[Guessed, ...]
    """Options that rows tell; the first whose signs are there is taken."""
    foreign_names: tuple[str, ...]
    """What other tools call it."""
    is_imported: bool
    """Whether the rows of a tool whose configurations `ftc import` reads can be for it."""
    needs_decoder: bool
    """Whether a model has to predict every token from those before it."""
    has_variants: bool
    """Whether rows can be varied, since no label hangs on a place in the text."""
    has_prompt_variants: bool
    """Whether a row can be asked with several prompts."""
    can_swap: bool
    """Whether phrases of a test row can be exchanged without changing what is right."""
    can_grade: bool
    """Whether it writes answers that a judge or a classifier can look at."""
    slices_obstacle: str | None
    """Why results can't be told apart by groups of rows."""
    teacher_obstacle: str | None
    """Why it can't be learned from a teacher."""
    starter: str
    """A small public base model that trains on any machine and needs no consent; `ftc init` names it where it finds no
    model."""

    @property
    def part_names(self) -> tuple[str, ...]:
        """The parts by their names."""
        return tuple(part.name for part in self.parts)


class TaskSection(Document):
    """The recipe's section `task`, whatever the kind."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    CARD: ClassVar[TaskCard]
    """What is known of the task whatever its options."""

    @abstractmethod
    def modes(self) -> tuple[Mode, ...]:
        """The modes that the options leave open: one, or one for each family of models."""

    @abstractmethod
    def rows(self) -> RowKind:
        """What kind of rows it reads, with the options that reading them needs."""

    @classmethod
    def name(cls) -> str:
        """What a recipe calls the task."""
        return str(get_args(cls.model_fields["kind"].annotation)[0])

    @classmethod
    def written_for(cls, by: SignKind, found: str | tuple[str, ...] = "") -> str | None:
        """The section that reads rows with a sign of a kind, as a recipe has it; None where the task knows none.

        Args:
            by: The kind of the last sign.
            found: What it finds: a separator, or columns.
        """
        options = next((one.options for one in cls.CARD.guessed if one.signs[-1].by == by), None)
        if options is None:
            return None
        return section_line(cls.name(), {key: found if value is None else value for key, value in options.items()})

    def mode_for(self, family: Family) -> Mode:
        """The mode in which a model of a family does the task."""
        modes = self.modes()
        return modes[0] if len(modes) == 1 else next(mode for mode in modes if family in mode.families)

    @property
    def names_mode(self) -> bool:
        """Whether the recipe says which mode it wants, other than the usual one."""
        field = type(self).model_fields.get("mode")
        return field is not None and getattr(self, "mode") != field.default  # noqa: B009 - few tasks have one

    @property
    def prompted_mode(self) -> str | None:
        """What `mode` has to be so that answers are generated behind a prompt; None where no mode does that."""
        field = type(self).model_fields.get("mode")
        options: tuple[str, ...] = get_args(field.annotation) if field is not None else ()
        others = ((option, self.model_copy(update={"mode": option}).modes()) for option in options)
        return next((one for one, modes in others if all(form_card(mode.form).takes_examples for mode in modes)), None)

    @property
    def declared_labels(self) -> tuple[str, ...] | None:
        """The labels that the recipe names; None where it names none, or the task has none."""
        return getattr(self, "labels", None)

    @property
    def pair_loss(self) -> PreferenceLossCard | None:
        """The loss that compares the two answers of a row; None for a task without pairs."""
        return None

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """The parts of each kind of row that it can read with these options, the usual one first."""
        return self.CARD.row_forms

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns that the section itself names, and that play no part."""
        return ()

    @property
    def own_key(self) -> str:
        """The key of the section that names them; empty for a section that names none."""
        return ""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of a new head's outputs, where no row tells them."""
        return ()

    @property
    def number_loss(self) -> NumberLossCard | None:
        """The loss of the numbers of a row; None for a task without numbers."""
        return None

    @property
    def vector_loss(self) -> EmbeddingLossCard | None:
        """The loss that compares vectors; None for a task without vectors."""
        return None

    @property
    def ranking_loss(self) -> RerankingLossCard | None:
        """The loss that orders the texts of a query; None for a task without."""
        return None

    @property
    def prefixes(self) -> tuple[str, str]:
        """What stands before a query and before a passage, where texts become vectors."""
        return "", ""

    @property
    def loss_point(self) -> PointKind | None:
        """Which losses of packages fit, whatever family the model is of; None where none does."""
        points: set[PointKind | None] = {mode.loss_point for mode in self.modes()}
        return points.pop() if len(points) == 1 else None

    @property
    def separator(self) -> str:
        """What stands behind each step of an answer; empty for a task without steps."""
        return ""

    @property
    def scored_unit(self) -> Literal["answers", "steps"] | None:
        """What its models give a score: answers, or each step of one; None for a task that trains no reward model."""
        return None

    @property
    def masked_share(self) -> float | None:
        """Share of a row's tokens that are masked; None for a task that masks none."""
        return None

    @property
    def spans(self) -> SpanShare | None:
        """How much of a row is missing, in spans; None for a task that takes none out."""
        return None

    @property
    def sampling(self) -> SamplingSettings | None:
        """How the model's own answers are sampled and rewarded in training; None for a task that learns from rows."""
        return None

    @property
    def turns(self) -> TrainOn:
        """The turns of a conversation that are trained on."""
        return "assistant"

    @property
    def template(self) -> str | None:
        """The prompt template that the recipe gives; None for a task without."""
        return None

    @property
    def system_message(self) -> str | None:
        """The system message that the recipe gives; None for a task without."""
        return None

    def settled(self, family: Family) -> Self:
        """The task with the mode that it has for a family of models."""
        option = self.mode_for(family).option
        return self if option is None else self.model_copy(update={"mode": option})


class PromptFacts(NamedTuple):
    """What a usual prompt is made of."""

    columns: Mapping[str, str]
    """Column by part."""
    labels: Sequence[str]
    """The classes, where the task has any."""
    family: Family
    summary_prefix: str | None
    """What the model was pretrained to read before a text that is to be summarized; None where that is unknown."""

    def value(self, part: str) -> str:
        """A part's value, in a template."""
        return "{{ " + self.columns[part] + " }}"


class Prompted(TaskSection):
    """What tasks have in common that ask with a prompt."""

    prompt: str | None = Field(default=None, min_length=1, max_length=20_000)
    """Jinja template of the prompt over the row's columns, such as `Summarize: {{ article }}`. Default: the column
    that `data.fields.prompt` names, unchanged, or, for a task that implies a question, the usual words for it."""
    system: str | None = Field(default=None, min_length=1, max_length=20_000)
    """System message for models with a chat template. Default: none, so that the model's own template decides."""

    @property
    def template(self) -> str | None:
        """The prompt template that the recipe gives."""
        return self.prompt

    @property
    def system_message(self) -> str | None:
        """The system message that the recipe gives."""
        return self.system

    @abstractmethod
    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The template where the recipe gives none, and the reason for it."""
