"""What a model ends in: a card for its own output layer, and one for each kind of new layer in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ftc.spec import head_programs
from ftc.spec.architectures import Architecture, Family

__all__ = ["HEADS", "Answer", "AnswerFigure", "Choices", "Head", "HeadCard", "Labels", "ScoredPlaces", "head_card"]

Head = Literal["lm", "embedding", "classification", "multi_label", "regression", "token_classification", "span"]
"""What a model ends in: its own language model head, none at all so that states become vectors, or a new one for labels
or numbers of a row, labels of each word, or an answer."""

ScoredPlaces = Literal["row", "token", "target"]
"""Where a head is computed: once a row, at every token, or at the target tokens alone."""

Choices = Literal["exclusive", "independent", "numbers", "positions"]
"""What one line of a head's scores is over: choices that exclude each other, labels that are each decided alone,
numbers that are no choice at all, or the positions of a row, where padding scores minus infinity."""

Labels = Literal["one", "several", "words"]
"""How labels belong to a row: one each, any number of them, or one a word."""

Answer = Literal[
    "label", "written label", "labels", "numbers", "tags", "span", "pair", "rated", "rank", "rewarded", "text"
]
"""What a model's answer to a row is: a label that a head chooses, or one that the model writes, any number of labels,
numbers, a tag for each word, a span of the context, which of two answers is the likelier, at which rank the right
passage is found, text that earns rewards, or text."""


AnswerFigure = Literal[
    "classes", "confidence", "entities", "entity count", "certainty", "answered", "numbers", "length", "JSON", "vectors"
]
"""What is compared of answers where nobody knows the right ones: predicted classes, the probability of the chosen one,
types of entities and how many a row has, how much better an answer scores than none, whether a question has one,
predicted numbers, characters of a written answer, whether it is JSON, or vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCard:
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
    """What a type of models calls the modules that the head makes anew: empty where it has no such head, None where
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
        return self.num_outputs(num_labels) or (vocabulary if self.writes else hidden)

    def auto_class_of(self, family: Family) -> str:
        """Class of transformers that finds a model of a family with this head."""
        return self.split_auto_class if family == "encoder_decoder" else self.auto_class


_ROW_MODULES: dict[Family, str] = {
    "encoder": "classifier",
    "decoder": "score",
    "encoder_decoder": "classification_head",
}
_ROW_LAYER = r"(classifier|score|classification_head)(\.out_proj)?\.weight"
_READS_TEXT = 'inputs = tokenizer("A text to sort.", truncation=True, max_length={max_length}, return_tensors="pt")'

HEADS = (
    HeadCard(
        name="lm",
        title="",
        alternative="",
        reason="the model's own output layer",
        outputs=0,
        known_modules=lambda _: (),
        usual_module={},
        auto_class="AutoModelForCausalLM",
        split_auto_class="AutoModelForSeq2SeqLM",
        peft_task="CAUSAL_LM",
        split_peft_task="SEQ_2_SEQ_LM",
        class_suffix="",
        last_layer="",
        problem_type=None,
        labels=None,
        answer="text",
        scored="target",
        choices="exclusive",
        smoothing_obstacle=None,
        has_confidence=False,
        keeps_targets=False,
        figures=("classes", "length", "JSON"),
        example=(),
        file_outputs=(),
        file_example=(),
    ),
    HeadCard(
        name="embedding",
        title="pooled states",
        alternative="",
        reason="the states of the last layer, pooled into a vector",
        outputs=0,
        known_modules=lambda _: (),
        usual_module={},
        auto_class="AutoModel",
        split_auto_class="AutoModel",
        peft_task="FEATURE_EXTRACTION",
        split_peft_task="FEATURE_EXTRACTION",
        class_suffix="",
        last_layer="",
        problem_type=None,
        labels=None,
        answer="rank",
        scored="row",
        choices="numbers",
        smoothing_obstacle="vectors",
        has_confidence=False,
        keeps_targets=False,
        figures=("vectors",),
        example=(
            'inputs = tokenizer({prefix} + "A text.", truncation=True, max_length={max_length}, return_tensors="pt")',
            "states = model(**inputs).last_hidden_state[0]",
            "vector = {pooled}",
            "print(vector / vector.norm())",
        ),
        file_outputs=("sentence_embedding",),
        file_example=head_programs.VECTORS,
    ),
    HeadCard(
        name="classification",
        title="classifier",
        alternative="",
        reason="a new layer over {labels} labels",
        outputs=None,
        known_modules=lambda kind: kind.classifier,
        usual_module=_ROW_MODULES,
        auto_class="AutoModelForSequenceClassification",
        split_auto_class="AutoModelForSequenceClassification",
        peft_task="SEQ_CLS",
        split_peft_task="SEQ_CLS",
        class_suffix="ForSequenceClassification",
        last_layer=_ROW_LAYER,
        problem_type="single_label_classification",
        labels="one",
        answer="label",
        scored="row",
        choices="exclusive",
        smoothing_obstacle=None,
        has_confidence=True,
        keeps_targets=False,
        figures=("classes", "confidence"),
        example=("labels = {labels}", _READS_TEXT, "print(labels[model(**inputs).logits.argmax().item()])"),
        file_outputs=("logits",),
        file_example=head_programs.LABEL,
    ),
    HeadCard(
        name="multi_label",
        title="classifier",
        alternative="",
        reason="a new layer over {labels} labels, each independent",
        outputs=None,
        known_modules=lambda kind: kind.classifier,
        usual_module=_ROW_MODULES,
        auto_class="AutoModelForSequenceClassification",
        split_auto_class="AutoModelForSequenceClassification",
        peft_task="SEQ_CLS",
        split_peft_task="SEQ_CLS",
        class_suffix="ForSequenceClassification",
        last_layer=_ROW_LAYER,
        problem_type="multi_label_classification",
        labels="several",
        answer="labels",
        scored="row",
        choices="independent",
        smoothing_obstacle="several labels per row",
        has_confidence=False,
        keeps_targets=True,
        figures=("classes",),
        example=(
            "labels = {labels}",
            _READS_TEXT,
            "print([label for label, score in zip(labels, model(**inputs).logits[0].tolist()) if score > 0])",
        ),
        file_outputs=("logits",),
        file_example=head_programs.LABELS,
    ),
    HeadCard(
        name="regression",
        title="head for numbers",
        alternative="",
        reason="a new layer for numbers, as many as {labels}",
        outputs=None,
        known_modules=lambda kind: kind.classifier,
        usual_module=_ROW_MODULES,
        auto_class="AutoModelForSequenceClassification",
        split_auto_class="AutoModelForSequenceClassification",
        peft_task="SEQ_CLS",
        split_peft_task="SEQ_CLS",
        class_suffix="ForSequenceClassification",
        last_layer=_ROW_LAYER,
        problem_type="regression",
        labels=None,
        answer="numbers",
        scored="row",
        choices="numbers",
        smoothing_obstacle="numbers",
        has_confidence=False,
        keeps_targets=False,
        figures=("numbers",),
        example=(
            "scales = {scales}  # name: (mean, standard deviation), to convert outputs back",
            _READS_TEXT.replace("sort", "rate"),
            "outputs = model(**inputs).logits[0].tolist()",
            "print({name: mean + spread * one for (name, (mean, spread)), one in zip(scales.items(), outputs)})",
        ),
        file_outputs=("logits",),
        file_example=head_programs.NUMBERS,
    ),
    HeadCard(
        name="token_classification",
        title="head over words",
        alternative="",
        reason="a new layer over {labels} tags",
        outputs=None,
        known_modules=lambda kind: kind.tagger,
        usual_module={"encoder": "classifier"},
        auto_class="AutoModelForTokenClassification",
        split_auto_class="AutoModelForTokenClassification",
        peft_task="TOKEN_CLS",
        split_peft_task="TOKEN_CLS",
        class_suffix="ForTokenClassification",
        last_layer=r"(classifier|score)\.weight",
        problem_type=None,
        labels="words",
        answer="tags",
        scored="target",
        choices="exclusive",
        smoothing_obstacle=None,
        has_confidence=False,
        keeps_targets=True,
        figures=("entities", "entity count"),
        example=(  # each word has the tag of the first token whose characters reach into it
            "labels = {labels}",
            'text = "A text of some words"',
            "inputs = tokenizer(",
            '    text, truncation=True, max_length={max_length}, return_tensors="pt", return_offsets_mapping=True',
            ")",
            'ends = inputs.pop("offset_mapping")[0, :, 1].tolist()',
            "tags = model(**inputs).logits[0].argmax(dim=-1).tolist()",
            "begin = 0",
            "for word in text.split():",
            "    begin = text.index(word, begin)",
            "    print(word, labels[next(tag for tag, end in zip(tags, ends) if end > begin)])",
        ),
        file_outputs=("logits",),
        file_example=head_programs.TAGS,
    ),
    HeadCard(
        name="span",
        title="head over answers",
        alternative=", or `mode: generative`",
        reason="a new layer for the start and end of an answer",
        outputs=2,
        known_modules=lambda kind: kind.span_head,
        usual_module={"encoder": "qa_outputs"},
        auto_class="AutoModelForQuestionAnswering",
        split_auto_class="AutoModelForQuestionAnswering",
        peft_task="QUESTION_ANS",
        split_peft_task="QUESTION_ANS",
        class_suffix="ForQuestionAnswering",
        last_layer=r"(qa_outputs|classifier)\.weight",
        problem_type=None,
        labels=None,
        answer="span",
        scored="token",
        choices="positions",
        smoothing_obstacle="positions in a context",
        has_confidence=False,
        keeps_targets=False,
        figures=("answered", "certainty"),
        example=(
            'question, context = "Who wrote it?", "It was written by Ada."',
            "inputs = tokenizer(",
            '    question, context, truncation="only_second", max_length={max_length}, return_tensors="pt",',
            "    return_offsets_mapping=True,",
            ")",
            'places = inputs.pop("offset_mapping")[0].tolist()',
            "output = model(**inputs)",
            "first, last = output.start_logits.argmax().item(), output.end_logits.argmax().item()",
            'print(context[places[first][0] : places[last][1]] if first else "no answer")',
        ),
        file_outputs=("start_logits", "end_logits"),
        file_example=head_programs.ANSWER,
    ),
)
"""Every head, a model's own first."""

_BY_NAME = {card.name: card for card in HEADS}


def head_card(name: Head) -> HeadCard:
    """What is known of a head."""
    return _BY_NAME[name]
