"""Conversations, of which the assistant's turns are trained on."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ftc.spec.tasks.card import EVERY_FAMILY, OF_ANSWERS, Mode, Sign, TaskCard, TaskSection
from ftc.spec.tasks.parts import IMAGE, MESSAGES, SYSTEM, TOOLS
from ftc.spec.tasks.rows import MessageRows
from ftc.spec.tasks.turns import TrainOn

__all__ = ["Chat"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="chat",
    head="lm",
    reason="the task is a chat",
    no_prompt=("a chat task has no prompt template", "a chat task has no system message of its own"),
    unused=(),
    traits=(),
    usual_metrics=("perplexity",),
    least_steps=OF_ANSWERS,
    does="answers in a conversation",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Chat(TaskSection):
    """Conversations; the assistant's turns are trained on, or those that `train_on` names.

    A message with `"weight": 0` or `"train": false` is context and is not trained on.
    """

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(MESSAGES, SYSTEM, TOOLS, IMAGE),
        row_forms=(("messages",),),
        template_form=None,
        written_parts=(),
        answer_parts=(),
        beside={"tools": ("messages",), "system": ("messages",), "image": ("messages",)},
        signs=((Sign("messages", "list"),),),
        guess_order=10,
        guessed=(),
        foreign_names=("sft", "chat_template", "sharegpt", "conversation", "conversational"),
        is_imported=True,
        needs_decoder=True,
        has_variants=True,
        has_prompt_variants=False,
        can_swap=False,
        can_grade=False,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="HuggingFaceTB/SmolLM2-135M-Instruct",
    )

    kind: Literal["chat"]
    train_on: TrainOn = Field(default="assistant")
    """Which tokens count in the loss: the turns of the assistant, the last of them alone (`last`), the turns of the
    roles in a list, or every token, templates included (`all`). Default: assistant, since a model
    writes no other turns."""

    @property
    def turns(self) -> TrainOn:
        """Those that the recipe names."""
        return self.train_on

    def modes(self) -> tuple[Mode, ...]:
        """The answers are written."""
        return (_MODE,)

    def rows(self) -> MessageRows:
        """Conversations."""
        return MessageRows()
