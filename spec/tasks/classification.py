"""One label out of several for each text, or any number of them."""

from __future__ import annotations

import json
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ftc.spec.base import SparseDocument
from ftc.spec.tasks.card import (
    EVERY_FAMILY,
    OF_ANSWERS,
    OF_NEW_HEAD,
    Guessed,
    Mode,
    Prompted,
    PromptFacts,
    Sign,
    TaskCard,
    Unused,
    unused,
)
from ftc.spec.tasks.parts import LABEL, TEXT, TEXT_PAIR
from ftc.spec.tasks.rows import LabelRows

__all__ = ["Classification"]

_ONE = Mode(
    option="head",
    families=EVERY_FAMILY,
    form="classify",
    head="classification",
    reason="the task is a classification",
    no_prompt=("a classification task has no prompt template", "a classification task has no system message"),
    unused=(
        *unused(("prompt", "system"), "a label from an output layer"),
        *(
            Unused(key, f"`{key}` has no effect where a row has one label", "write `multi_label: true` as well")
            for key in ("label_separator", "label_columns")
        ),
    ),
    traits=("single_label",),
    usual_metrics=("accuracy", "macro_f1"),
    least_steps=OF_NEW_HEAD,
    does="sorts text into classes",
    pipeline="text-classification",
    split_pipeline="text-classification",
)
_SEVERAL = Mode(
    option="head",
    families=EVERY_FAMILY,
    form="classify",
    head="multi_label",
    reason="the task is a classification",
    no_prompt=("a classification task has no prompt template", "a classification task has no system message"),
    unused=unused(("prompt", "system"), "a label from an output layer"),
    traits=("multi_label",),
    usual_metrics=("micro_f1", "macro_f1"),
    least_steps=OF_NEW_HEAD,
    does="sorts text into classes",
    pipeline="text-classification",
    split_pipeline="text-classification",
)
_WRITTEN = Mode(
    option="generative",
    families=EVERY_FAMILY,
    form="prompt",
    head="lm",
    reason="the task is a classification",
    no_prompt=None,
    unused=tuple(
        Unused(key, "a model that generates its label gives one per row", f"remove `mode`, or `{key}`")
        for key in ("multi_label", "label_separator", "label_columns")
    ),
    traits=("single_label", "generative"),
    usual_metrics=("accuracy", "macro_f1"),
    least_steps=OF_ANSWERS,
    does="sorts text into classes by generating their names",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Classification(Prompted, SparseDocument):
    """One label out of several for each text, or any number of them."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("label_separator", "label_columns")

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TEXT, LABEL, TEXT_PAIR),
        row_forms=(("text", "label"),),
        template_form=None,
        written_parts=(),
        answer_parts=("label",),
        beside={"text_pair": ("text",)},
        signs=((Sign("label", "content"),),),
        guess_order=70,
        guessed=(
            Guessed(
                (Sign("label", "flags"),),
                {"multi_label": True, "label_columns": None},
                "{found} hold 0 and 1, and no column a label",
            ),
            Guessed((Sign("label", "lists"),), {"multi_label": True}, ""),
            Guessed(
                (Sign("label", "joined"),),
                {"multi_label": True, "label_separator": None},
                "cells hold several labels with {found} between them",
            ),
        ),
        foreign_names=("text-classification", "sequence-classification", "sentiment-analysis", "SEQ_CLS"),
        is_imported=False,
        needs_decoder=False,
        has_variants=True,
        has_prompt_variants=False,
        can_swap=True,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="sentence-transformers/all-MiniLM-L6-v2",
    )

    kind: Literal["classification"]
    labels: tuple[str, ...] | None = Field(default=None, min_length=2, max_length=10_000)
    """The classes in the order of the head's outputs. Default: the labels of the data, sorted, since no order is
    better than another and a sorted one does not depend on the order of the rows."""
    mode: Literal["head", "generative"] = "head"
    """`head`: a new output layer gives each class a score. `generative`: the model writes the label behind a prompt,
    and anything else that it writes is wrong. Default: head, which is faster and can't answer beside the classes."""
    multi_label: bool = False
    """Whether a row has any number of labels, none included: the column holds lists. Each label is then decided by
    itself, at a probability of one half. Default: no, a row has exactly one."""
    label_separator: str | None = Field(default=None, min_length=1, max_length=10)
    """What separates the labels in a cell of `multi_label` rows, such as `;` in `billing;refund`; an empty cell
    has none. Default: none, so that a cell is a list (in a CSV file as JSON or Python write it)."""
    label_columns: tuple[str, ...] | None = Field(default=None, min_length=2, max_length=10_000)
    """Columns of a label each, of `multi_label` rows that have 1 or 0, true or false there (one-hot). The labels are
    called as the columns. Default: none, so that `data.fields.label` names one column of labels."""

    @model_validator(mode="after")
    def _has_labels_in_one_place(self) -> Self:
        if self.label_separator is not None and self.label_columns is not None:
            raise ValueError("`label_columns` have a label each, and nothing to separate: leave out `label_separator`")
        return self

    @property
    def row_forms(self) -> tuple[tuple[str, ...], ...]:
        """A text and its label, or a text alone where each label has a column."""
        return (("text",),) if self.own_columns else self.CARD.row_forms

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of the labels, where each has one."""
        return (self.label_columns or ()) if self.multi_label else ()

    @property
    def own_key(self) -> str:
        """The key that names them."""
        return "label_columns"

    @property
    def declared_labels(self) -> tuple[str, ...] | None:
        """The labels that the recipe names, as classes or as columns."""
        return self.labels or self.own_columns or None

    def modes(self) -> tuple[Mode, ...]:
        """By a new head over one label or several, or written."""
        if self.mode == "generative":
            return (_WRITTEN,)
        return (_SEVERAL,) if self.multi_label else (_ONE,)

    def rows(self) -> LabelRows:
        """Texts with their labels."""
        return LabelRows(
            several=self.multi_label,
            written=self.mode == "generative",
            separator=self.label_separator,
            columns=self.own_columns,
        )

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The text, and the question which class fits."""
        second = f"\n\nSecond text: {facts.value('text_pair')}" if "text_pair" in facts.columns else ""
        # As a literal, since a name may hold what a template would read.
        question = f"Which of these fits: {{{{ {json.dumps(', '.join(facts.labels), ensure_ascii=False)} }}}}?"
        return f"Text: {facts.value('text')}{second}\n\n{question}\nAnswer:", "the default prompt for a choice"
