"""What a head's card says: types alone. The cards are `ftc.spec.heads`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ftc.spec.architectures import Architecture, Family
from ftc.spec.extension_points import PointKind

__all__ = ["Answer", "AnswerFigure", "Choices", "Head", "HeadCard", "Labels", "ScoredPlaces"]

Head = Literal[
    "lm", "masked_lm", "embedding", "classification", "multi_label", "regression", "token_classification", "span"
]
"""What a model ends in: its own language model head, for next or for masked tokens, none at all so that states become
vectors, or a new one for labels or numbers of a row, labels of each word, or an answer."""

ScoredPlaces = Literal["row", "token", "target"]
"""Where a head is computed: once a row, at every token, or at the target tokens alone."""

Choices = Literal["exclusive", "independent", "numbers", "positions"]
"""What one line of a head's scores is over: choices that exclude each other, labels that are each decided alone,
numbers that are no choice at all, or the positions of a row, where padding scores minus infinity."""

Labels = Literal["one", "several", "words"]
"""How labels belong to a row: one each, any number of them, or one a word."""

Answer = Literal[
    "label",
    "written label",
    "labels",
    "numbers",
    "tags",
    "span",
    "pair",
    "rated",
    "rank",
    "rewarded",
    "filled",
    "text",
]
"""What a model's answer to a row is: a label that a head chooses, or one that the model writes, any number of labels,
numbers, a tag for each word, a span of the context, which of two answers is the likelier, at which rank the right
passage is found, text that earns rewards, the text with its masked tokens filled in, or text."""


AnswerFigure = Literal[
    "classes", "confidence", "entities", "entity count", "certainty", "answered", "numbers", "length", "JSON", "vectors"
]
"""What is compared of answers where nobody knows the right ones: predicted classes, the probability of the chosen one,
types of entities and how many a row has, how much better an answer scores than none, whether a question has one,
predicted numbers, characters of a written answer, whether it is JSON, or vectors."""


class HeadCard(NamedTuple):
    """Everything that is known of a head without a model."""

    name: Head
    title: str
    """What it is called where a model has none such; empty for a model's own."""
    alternative: str
    """What else can be done then, behind the advice to choose another model."""
    reason: str
    """Why a plan has it; `{labels}` stands for their number."""
    outputs: int | None
    """Outputs of the new layer: None for one a label or number, which the plan names, 0 where no layer is new."""
    known_modules: Callable[[Architecture], tuple[str, ...] | None]
    """What a type of models calls the untrained modules of the head: empty where it has no such head, None where
    nothing else is known than the usual."""
    usual_module: Mapping[Family, str]
    """What most models of a family call it; no word for a family without such heads."""
    auto_class: str
    """Class of transformers that finds a model with this head."""
    split_auto_class: str
    """The same for an encoder-decoder."""
    peft_task: str
    """peft's kind of task."""
    split_peft_task: str
    """The same for an encoder-decoder."""
    class_suffix: str
    """How the name of a model's class with this head ends; empty for a model's own head."""
    last_layer: str
    """Pattern of the name of the weights of its last layer; empty for a model's own head."""
    problem_type: str | None
    """What config.json says of its labels, where one class of transformers serves several heads."""
    labels: Labels | None
    """How the labels that its outputs stand for belong to a row; None where they stand for something else."""
    answer: Answer
    """What its answer to a row is; a model's own head writes text, which may stand for something else."""
    scored: ScoredPlaces
    choices: Choices
    smoothing_obstacle: str | None
    """What stands in the place of one right choice among a fixed number, which label smoothing needs."""
    has_confidence: bool
    """Whether it gives each row one class with a probability."""
    keeps_targets: bool
    """Whether metrics need the label numbers of each row: several classes, or tags."""
    figures: tuple[AnswerFigure, ...]
    """What `ftc drift` compares of its answers."""
    example: tuple[str, ...]
    """Lines of Python that try a loaded model, for the model card, over `{labels}`, `{scales}` and `{max_length}`; none
    where the model writes."""
    file_outputs: tuple[str, ...]
    """Names of the outputs of an exported graph; none where the model writes."""
    file_example: tuple[str, ...]
    """Lines of Python that print what a graph says of `texts`: over what they are `encoded` as, `outputs` by name,
    `names` and `scales`; none where the model writes."""

    @property
    def is_new(self) -> bool:
        """Whether a layer is trained from scratch in place of the model's own."""
        return self.outputs != 0

    @property
    def writes(self) -> bool:
        """Whether it is the model's own, which writes token by token."""
        return self.answer == "text"

    @property
    def scores_vocabulary(self) -> bool:
        """Whether it is the model's own, whose scores are over the vocabulary."""
        return not self.is_new and self.chooses

    @property
    def loss_point(self) -> PointKind | None:
        """Which losses of packages are of its scores: over the vocabulary, or labels; None where none are."""
        if self.scores_vocabulary:
            return "token_loss"
        points: dict[Labels | None, PointKind | None]
        points = {"one": "label_loss", "words": "label_loss", "several": "label_set_loss", None: None}
        return points[self.labels]

    @property
    def is_labeled(self) -> bool:
        """Whether each output stands for a label."""
        return self.labels is not None

    @property
    def names_outputs(self) -> bool:
        """Whether each output has a name in the plan: that of a label, or of a number."""
        return self.outputs is None

    @property
    def chooses(self) -> bool:
        """Whether its answer is one of those that there are, so that it is right or wrong."""
        return self.choices != "numbers"

    @property
    def scores_rows(self) -> bool:
        """Whether a row is decided on as a whole."""
        return self.scored == "row"

    @property
    def finds_spans(self) -> bool:
        """Whether it chooses positions of a text, of which a long one has several windows."""
        return self.choices == "positions"

    def num_outputs(self, num_labels: int) -> int:
        """Outputs of the new layer; 0 for a model's own."""
        return num_labels if self.outputs is None else self.outputs

    def score_width(self, num_labels: int, *, vocabulary: int, hidden: int) -> int:
        """Numbers in a line of scores: outputs of the new layer, words, or the components of a vector."""
        return self.num_outputs(num_labels) or (vocabulary if self.scores_vocabulary else hidden)

    def auto_class_of(self, family: Family) -> str:
        """Class of transformers that finds a model of a family with this head."""
        return self.split_auto_class if family == "encoder_decoder" else self.auto_class
