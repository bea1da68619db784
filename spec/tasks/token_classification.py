"""A tag for each word: names, places and other entities, or parts of speech."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.tasks.card import EVERY_FAMILY, OF_NEW_HEAD, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import SPANS, TAGS, TEXT, TOKENS
from ftc.spec.tasks.rows import TagRows

__all__ = ["TokenClassification"]

_ENTITIES = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="tag",
    head="token_classification",
    reason="the task is token classification",
    no_prompt=(
        "a token_classification task has no prompt template",
        "a token_classification task has no system message",
    ),
    unused=(),
    traits=("entity_tags",),
    usual_metrics=("entity_f1", "entity_precision", "entity_recall"),
    least_steps=OF_NEW_HEAD,
    does="tags each word of a text",
    pipeline="token-classification",
    split_pipeline="token-classification",
)
_PLAIN = replace(_ENTITIES, traits=("plain_tags",), usual_metrics=("accuracy", "macro_f1"))
"""Tags that stand for themselves."""


class TokenClassification(TaskSection):
    """A tag for each word: names, places and other entities, or parts of speech."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(TOKENS, TAGS, TEXT, SPANS),
        row_forms=(("tokens", "tags"), ("text", "spans")),
        template_form=None,
        written_parts=(),
        answer_parts=("tags", "spans"),
        beside={},
        signs=((Sign("tokens", "list"), Sign("tags", "name")), (Sign("spans", "list"),)),
        guess_order=30,
        guessed=(),
        foreign_names=("token-classification", "ner", "pos", "TOKEN_CLS"),
        is_imported=False,
        needs_decoder=False,
        has_variants=False,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="distilbert/distilbert-base-cased",
    )

    kind: Literal["token_classification"]
    labels: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=5_000)
    """Types of entities, such as `[LOC, PER]`; with `scheme: plain`, the tags. Default: those of the training rows,
    sorted."""
    scheme: Literal["iob2", "iob1", "plain"] = "iob2"
    """What the tags of words mean. `iob2`: `B-` begins an entity and `I-` goes on with it. `iob1`: `I-`, and `B-` only
    between two entities of one type; such tags become IOB2. `plain`: a tag is a class of its own. Default: iob2, the
    most common."""

    def modes(self) -> tuple[Mode, ...]:
        """By entities, or by tags that stand for themselves."""
        return (_PLAIN,) if self.scheme == "plain" else (_ENTITIES,)

    def rows(self) -> TagRows:
        """Words with their tags."""
        return TagRows(self.scheme)
