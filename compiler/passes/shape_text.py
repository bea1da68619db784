"""How rows become tokens: form, template, length. Runs before anything is tokenised."""

from __future__ import annotations

from ftc.compiler.draft import Draft
from ftc.spec.task import Chat, Classification, Generation

__all__ = ["LENGTH_CAP", "shape_text"]

LENGTH_CAP = 1024
"""Longest sequence, in tokens, that `max_length: auto` allows; longer ones are asked for by name."""


def shape_text(draft: Draft) -> Draft:
    """Settles everything under `text`."""
    return _choose_length(_choose_form(draft)).take("text.overflow", "data.overflow")


def _choose_form(draft: Draft) -> Draft:
    task = draft.recipe.task
    has_template = draft.model.tokenizer.chat_template is not None
    match task:
        case Classification():
            draft = draft.derive("text.form", "classify", "the task is a classification")
            draft = draft.derive("text.uses_chat_template", False, "a classification reads the text as it stands")
        case Chat():
            draft = draft.derive("text.form", "chat", "the task is a chat")
            draft = draft.derive("text.uses_chat_template", True, "a chat needs the model's template")
            if not has_template:
                draft = draft.find(
                    "FTC220",
                    f"`{draft.model.name}` has no chat template",
                    "model.base",
                    help="use an instruction-tuned base, or a task of kind `generation`",
                )
        case Generation():
            draft = draft.derive("text.form", "prompt", "the task is a generation")
            reason = "the model has a chat template" if has_template else "the model has no chat template"
            draft = draft.derive("text.uses_chat_template", has_template, reason)
    return _choose_prompt(draft)


def _choose_prompt(draft: Draft) -> Draft:
    task = draft.recipe.task
    if not isinstance(task, Generation):
        draft = draft.derive("text.prompt", None, f"a {task.kind} has no prompt template")
        return draft.derive("text.system", None, f"a {task.kind} has no system message of its own")
    draft = draft.take("text.system", "task.system")
    if task.prompt is not None:
        return draft.take("text.prompt", "task.prompt")
    column = draft.recipe.data.fields.get("prompt", "prompt")
    return draft.derive("text.prompt", "{{ " + column + " }}", f"column `{column}` is the prompt")


def _choose_length(draft: Draft) -> Draft:
    asked = draft.recipe.data.max_length
    limits = {
        "the model's positions": draft.model.max_positions,
        "the tokenizer's own limit": draft.model.tokenizer.model_max_length,
    }
    known = {name: limit for name, limit in limits.items() if limit}
    source, limit = min(known.items(), key=lambda item: item[1]) if known else ("no stated limit", None)
    if asked == "auto":
        if limit is not None and limit <= LENGTH_CAP:
            return draft.derive("text.max_length", limit, f"{source} end there")
        return draft.derive("text.max_length", LENGTH_CAP, f"`auto` stops at {LENGTH_CAP}; {source} allow more")
    draft = draft.take("text.max_length", "data.max_length")
    positions = draft.model.max_positions
    if positions is None or asked <= positions:
        return draft
    return draft.find(
        "FTC221",
        f"sequences of {asked} tokens, the model ends at {positions}",
        "data.max_length",
        help=f"write at most {positions}",
        notes=f"`max_position_embeddings` in the model's config.json is {positions}",
    )
