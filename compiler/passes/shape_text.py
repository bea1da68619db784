"""How rows become tokens: form, template, length. Runs before anything is tokenised."""

from __future__ import annotations

from typing import assert_never

from ftc.compiler.draft import Draft
from ftc.spec.sections.augment import with_prompts
from ftc.spec.task import (
    Chat,
    Classification,
    Generation,
    Preference,
    Pretraining,
    Prompted,
    QuestionAnswering,
    Summarization,
    TokenClassification,
)

__all__ = ["EXTRACTION_CAP", "LENGTH_CAP", "shape_text"]

LENGTH_CAP = 1024
"""Longest sequence, in tokens, that `max_length: auto` allows; longer ones are asked for by name."""
EXTRACTION_CAP = 384
"""The same for windows of a context, as long as in the reference for SQuAD: a longer context gets more windows."""


def shape_text(draft: Draft) -> Draft:
    """Settles everything under `text` but labels, columns and a prompt made of columns, which the rows tell."""
    draft = _choose_prompt(_choose_template(_choose_form(draft)))
    return _check_stride(_choose_length(draft)).take("text.overflow", "data.overflow")


def _choose_form(draft: Draft) -> Draft:
    task = draft.recipe.task
    match task:
        case Classification(mode="generative"):
            return _check_many(draft.inherit("text.form", "prompt", "task.mode"), task)
        case Classification():
            form, reason = "classify", "the task is a classification"
        case TokenClassification():
            form, reason = "tag", "the task is a classification of words"
        case QuestionAnswering():
            return _choose_mode(draft, task)
        case Summarization() | Generation():
            form, reason = "prompt", f"the task is a {task.kind}"
        case Chat():
            form, reason = "chat", "the task is a chat"
        case Preference():
            form, reason = "preference", "the task compares two answers"
        case Pretraining():
            form, reason = "raw", "the task is pretraining"
        case _:
            assert_never(task)
    return draft.derive("text.form", form, reason)


def _choose_mode(draft: Draft, task: QuestionAnswering) -> Draft:
    if task.mode != "auto":
        return draft.inherit("text.form", "extract" if task.mode == "extractive" else "prompt", "task.mode")
    if draft.model.family == "encoder":
        return draft.derive("text.form", "extract", "an encoder finds answers in a context")
    return draft.derive("text.form", "prompt", f"a model of the family {draft.model.family} writes answers")


def _check_many(draft: Draft, task: Classification) -> Draft:
    """Whether a label can be written: one can, a list of any length can't be told from a wrong one."""
    if not task.multi_label:
        return draft
    summary = "a model that writes its label gives one for each row"
    return draft.find("FTC252", summary, "task.multi_label", help="leave `mode` out, or `multi_label`")


def _choose_template(draft: Draft) -> Draft:
    """Whether text is wrapped as turns of the model's chat template."""
    has_template = draft.model.tokenizer.chat_template is not None
    match draft.values["text.form"]:
        case "chat":
            draft = draft.derive("text.uses_chat_template", True, "a chat needs the model's template")
            return draft if has_template else _refuse_chat(draft)
        case "prompt" | "preference" if draft.model.family != "encoder_decoder":
            reason = "the model has a chat template" if has_template else "the model has no chat template"
            return draft.derive("text.uses_chat_template", has_template, reason)
        case "prompt":
            reason = "an encoder-decoder has its prompt and its answer apart"
            return draft.derive("text.uses_chat_template", False, reason)
        case _:
            reason = f"a {draft.recipe.task.kind} reads the text as it stands"
            return draft.derive("text.uses_chat_template", False, reason)


def _refuse_chat(draft: Draft) -> Draft:
    return draft.find(
        "FTC220",
        f"`{draft.model.name}` has no chat template",
        "model.base",
        help="use an instruction-tuned base, or a task of kind `generation`",
    )


def _choose_prompt(draft: Draft) -> Draft:
    task = draft.recipe.task
    if not isinstance(task, Prompted):
        draft = draft.derive("text.prompt", None, f"a {task.kind} has no prompt template")
        return draft.derive("text.system", None, f"a {task.kind} has no system message of its own")
    if draft.values["text.form"] == "extract":
        draft = draft.derive("text.prompt", None, "question and context are read as a pair of texts")
        draft = draft.derive("text.system", None, "an encoder has no system message")
        return _refuse_unused(draft, ("prompt", "system"), "an answer that is cut out of its context")
    if draft.values["text.form"] == "classify":
        draft = draft.derive("text.prompt", None, "a classification has no prompt template")
        draft = draft.derive("text.system", None, "a classification has no system message of its own")
        return _refuse_unused(draft, ("prompt", "system"), "a label that an output layer chooses")
    if isinstance(task, QuestionAnswering):
        draft = _refuse_unused(draft, ("stride", "max_answer_length"), "an answer that is written")
    draft = draft.take("text.system", "task.system")
    if task.prompt is None:
        return draft
    further = draft.recipe.data.augment.prompts if draft.recipe.data.augment else ()
    if not further:
        return draft.take("text.prompt", "task.prompt")
    prompts = with_prompts(task.prompt, further)
    return draft.derive("text.prompt", prompts, f"the prompt, and {len(further)} further ones for variants")


def _refuse_unused(draft: Draft, names: tuple[str, ...], what: str) -> Draft:
    for name in names:
        if draft.source.node(f"task.{name}") is not None and getattr(draft.recipe.task, name) is not None:
            draft = draft.find(
                "FTC252",
                f"`{name}` does nothing for {what}",
                f"task.{name}",
                help=f"leave `{name}` out, or write the other `mode`",
            )
    return draft


def _choose_length(draft: Draft) -> Draft:
    asked = draft.recipe.data.max_length
    cap = EXTRACTION_CAP if draft.values["text.form"] == "extract" else LENGTH_CAP
    limits = {
        "the model's positions": draft.model.max_positions,
        "the tokenizer's own limit": draft.model.tokenizer.model_max_length,
    }
    known = {name: limit for name, limit in limits.items() if limit}
    source, limit = min(known.items(), key=lambda item: item[1]) if known else ("no stated limit", None)
    if asked == "auto":
        if limit is not None and limit <= cap:
            return draft.derive("text.max_length", limit, f"{source} end there")
        return draft.derive("text.max_length", cap, f"`auto` stops at {cap}; {source} allow more")
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


def _check_stride(draft: Draft) -> Draft:
    """Whether windows move on at all."""
    task, length = draft.recipe.task, draft.values["text.max_length"]
    if draft.values["text.form"] != "extract" or not isinstance(task, QuestionAnswering):
        return draft
    if 2 * task.stride <= length:
        return draft
    return draft.find(
        "FTC253",
        f"windows of {length} tokens that share {task.stride} leave too few for question and context",
        "task.stride",
        help=f"write at most {max(1, length // 3)}, a third of a window",
    )
