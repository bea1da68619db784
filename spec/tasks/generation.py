"""A prompt in, a completion out."""

from __future__ import annotations

from typing import ClassVar, Literal

from ftc.spec.tasks.card import EVERY_FAMILY, OF_ANSWERS, Mode, Prompted, PromptFacts, Sign, TaskCard
from ftc.spec.tasks.parts import COMPLETION, HISTORY, IMAGE, INPUT, INSTRUCTION, OUTPUT, PROMPT, SYSTEM
from ftc.spec.tasks.rows import INSTRUCTION_PROMPT, InstructionRows

__all__ = ["Generation"]

_MODE = Mode(
    option=None,
    families=EVERY_FAMILY,
    form="prompt",
    head="lm",
    reason="the task is a generation",
    no_prompt=None,
    unused=(),
    traits=(),
    usual_metrics=("exact_match", "rouge_l"),
    least_steps=OF_ANSWERS,
    does="writes a completion for a prompt",
    pipeline="text-generation",
    split_pipeline="text2text-generation",
)


class Generation(Prompted):
    """A prompt in, a completion out; only the completion is learned."""

    CARD: ClassVar[TaskCard] = TaskCard(
        parts=(COMPLETION, PROMPT, INSTRUCTION, INPUT, OUTPUT, SYSTEM, HISTORY, IMAGE),
        row_forms=(("prompt", "completion"), ("instruction", "output")),
        template_form=("completion",),
        written_parts=("completion", "output"),
        answer_parts=("completion", "output"),
        beside={
            "input": ("instruction",),
            "system": ("completion", "output"),
            "history": ("completion", "output"),
            "image": ("completion", "output"),
        },
        signs=(
            (Sign("instruction", "name"), Sign("output", "name")),
            (Sign("prompt", "name", ("prompt", "instruction")), Sign("completion", "name")),
        ),
        guess_order=60,
        guessed=(),
        foreign_names=("text-generation", "text2text-generation", "instruct", "alpaca", "SEQ_2_SEQ_LM"),
        is_imported=True,
        needs_decoder=False,
        has_variants=True,
        has_prompt_variants=True,
        can_swap=True,
        can_grade=True,
        slices_obstacle=None,
        teacher_obstacle=None,
        starter="HuggingFaceTB/SmolLM2-135M",
    )

    kind: Literal["generation"]

    def modes(self) -> tuple[Mode, ...]:
        """The completion is written."""
        return (_MODE,)

    def rows(self) -> InstructionRows:
        """Prompts with their completions."""
        return InstructionRows()

    def usual_prompt(self, facts: PromptFacts) -> tuple[str, str]:
        """The prompt as it stands, or the instruction with its input."""
        if "instruction" in facts.columns:
            words = "the instruction, followed by the input if there is one"
            return "{{ " + INSTRUCTION_PROMPT + " }}", words
        return facts.value("prompt"), f"column `{facts.columns['prompt']}` is the prompt"
