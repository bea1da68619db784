"""The prompt of a recipe that gives none, made of the columns that play the task's parts. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ftc.compiler.resolve.rows.canonical_rows import INSTRUCTION_PROMPT
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.task import Classification, Prompted, QuestionAnswering, Summarization

__all__ = ["usual_prompt"]


def usual_prompt(
    task: Prompted, model: ModelFacts, columns: Mapping[str, str], labels: Sequence[str]
) -> tuple[str, str]:
    """The template and the reason for it.

    Args:
        task: A task that asks with a prompt.
        model: Who is asked.
        columns: Column by part.
        labels: The classes, where the task has any.
    """

    def value(part: str) -> str:
        return "{{ " + columns[part] + " }}"

    match task:
        case Classification():
            second = f"\n\nSecond text: {value('text_pair')}" if "text_pair" in columns else ""
            # As a literal, since a name may hold what a template would read.
            question = f"Which of these fits: {{{{ {json.dumps(', '.join(labels), ensure_ascii=False)} }}}}?"
            return f"Text: {value('text')}{second}\n\n{question}\nAnswer:", "the usual words for a choice"
        case Summarization() if model.family == "encoder_decoder":
            if prefix := model.kind.summary_prefix:
                return f"{prefix}{value('document')}", "the words that T5 was trained with"
            return value("document"), "the document alone"
        case Summarization():
            text = f"Summarize the following text.\n\n{value('document')}\n\nSummary:"
            return text, "the usual words for a summary"
        case QuestionAnswering() if "context" in columns:
            asked = f"Context: {value('context')}\n\nQuestion: {value('question')}\nAnswer:"
            return f"Answer the question with the help of the context.\n\n{asked}", "the usual words for a question"
        case QuestionAnswering():
            return f"Question: {value('question')}\nAnswer:", "the usual words for a question without a context"
        case _ if "instruction" in columns:
            return "{{ " + INSTRUCTION_PROMPT + " }}", "the instruction, and below it the input where there is one"
        case _:
            return value("prompt"), f"column `{columns['prompt']}` is the prompt"
