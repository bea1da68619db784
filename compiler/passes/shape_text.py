"""How rows become tokens: form, template, length. Runs before anything is tokenised."""

from __future__ import annotations

from typing import assert_never

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.settings import FormName, Open, OpenText, TextSettings
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

__all__ = ["EXTRACTION_CAP", "LENGTH_CAP", "shape_text", "with_rows"]

LENGTH_CAP = 1024
"""Longest sequence, in tokens, that `max_length: auto` allows; longer ones are asked for by name."""
EXTRACTION_CAP = 384
"""The same for windows of a context, as long as in the reference for SQuAD: a longer context gets more windows."""


def shape_text(draft: Draft) -> Draft:
    """Settles everything under `text` but labels, columns and a prompt made of columns, which the rows tell."""
    why = draft.reasons("text")
    form = _form(draft, why)
    shape = OpenText(
        form=form,
        uses_chat_template=_uses_template(draft, why, form),
        max_length=_length(draft, why, form),
        overflow=why.take("overflow", draft.recipe.data.overflow, "data.overflow"),
        prompt=_prompt(draft, why, form),
        system=_system(draft, why, form),
    )
    draft = draft.settle("shape", shape, why)
    return _check_stride(_check_length(_check_unused(_check_template(_check_many(draft)))))


def with_rows(
    draft: Draft, columns: tuple[dict[str, str], str], prompt: tuple[str, str] | None, labels: tuple[str, ...]
) -> Draft:
    """Settles what of `text` the rows tell.

    Args:
        draft: With the shape of the text.
        columns: Column by part of the task, and the reason.
        prompt: A prompt made of columns, and the reason; None where the recipe has one, or none is needed.
        labels: Classes in order.
    """
    why, shape, task = draft.reasons("text"), draft.shape, draft.recipe.task
    words = why.derive("prompt", *prompt) if prompt else shape.prompt
    assert words is not Open.OPEN, "a prompt is written, or made of columns"
    if isinstance(task, Classification | TokenClassification) and task.labels is not None:
        why.take("labels", labels, "task.labels")
    else:
        why.derive(
            "labels", labels, "the labels of the training rows, sorted" if labels else f"a {task.kind} has no classes"
        )
    text = TextSettings(
        form=shape.form,
        uses_chat_template=shape.uses_chat_template,
        max_length=shape.max_length,
        overflow=shape.overflow,
        prompt=words,
        system=shape.system,
        columns=why.derive("columns", *columns),
        labels=labels,
    )
    return draft.settle("text", text, why)


def _form(draft: Draft, why: Reasons) -> FormName:
    task = draft.recipe.task
    match task:
        case Classification(mode="generative"):
            return why.take("form", "prompt", "task.mode")
        case Classification():
            return why.derive("form", "classify", "the task is a classification")
        case TokenClassification():
            return why.derive("form", "tag", "the task is a classification of words")
        case QuestionAnswering():
            return _form_of_answers(draft, why, task)
        case Summarization() | Generation():
            return why.derive("form", "prompt", f"the task is a {task.kind}")
        case Chat():
            return why.derive("form", "chat", "the task is a chat")
        case Preference():
            return why.derive("form", "preference", "the task compares two answers")
        case Pretraining():
            return why.derive("form", "raw", "the task is pretraining")
        case _:
            assert_never(task)


def _form_of_answers(draft: Draft, why: Reasons, task: QuestionAnswering) -> FormName:
    if task.mode != "auto":
        return why.take("form", "extract" if task.mode == "extractive" else "prompt", "task.mode")
    if draft.model.family == "encoder":
        return why.derive("form", "extract", "an encoder finds answers in a context")
    return why.derive("form", "prompt", f"a model of the family {draft.model.family} writes answers")


def _check_many(draft: Draft) -> Draft:
    """Whether a label can be written: one can, a list of any length can't be told from a wrong one."""
    task = draft.recipe.task
    if not isinstance(task, Classification) or task.mode != "generative" or not task.multi_label:
        return draft
    summary = "a model that writes its label gives one for each row"
    return draft.find("FTC252", summary, "task.multi_label", help="leave `mode` out, or `multi_label`")


def _uses_template(draft: Draft, why: Reasons, form: FormName) -> bool:
    """Whether text is wrapped as turns of the model's chat template."""
    has_template = draft.model.tokenizer.chat_template is not None
    match form:
        case "chat":
            return why.derive("uses_chat_template", True, "a chat needs the model's template")
        case "prompt" | "preference" if draft.model.family != "encoder_decoder":
            reason = "the model has a chat template" if has_template else "the model has no chat template"
            return why.derive("uses_chat_template", has_template, reason)
        case "prompt":
            reason = "an encoder-decoder has its prompt and its answer apart"
            return why.derive("uses_chat_template", False, reason)
        case "classify" | "tag" | "extract" | "preference" | "raw":
            reason = f"a {draft.recipe.task.kind} reads the text as it stands"
            return why.derive("uses_chat_template", False, reason)


def _check_template(draft: Draft) -> Draft:
    if draft.shape.form != "chat" or draft.model.tokenizer.chat_template is not None:
        return draft
    return draft.find(
        "FTC220",
        f"`{draft.model.name}` has no chat template",
        "model.base",
        help="use an instruction-tuned base, or a task of kind `generation`",
    )


def _prompt(draft: Draft, why: Reasons, form: FormName) -> str | Open | None:
    task = draft.recipe.task
    if not isinstance(task, Prompted):
        return why.derive("prompt", None, f"a {task.kind} has no prompt template")
    if form == "extract":
        return why.derive("prompt", None, "question and context are read as a pair of texts")
    if form == "classify":
        return why.derive("prompt", None, "a classification has no prompt template")
    if task.prompt is None:
        return Open.OPEN
    further = draft.recipe.data.augment.prompts if draft.recipe.data.augment else ()
    if not further:
        return why.take("prompt", task.prompt, "task.prompt")
    prompts = with_prompts(task.prompt, further)
    return why.derive("prompt", prompts, f"the prompt, and {len(further)} further ones for variants")


def _system(draft: Draft, why: Reasons, form: FormName) -> str | None:
    task = draft.recipe.task
    if not isinstance(task, Prompted):
        return why.derive("system", None, f"a {task.kind} has no system message of its own")
    if form == "extract":
        return why.derive("system", None, "an encoder has no system message")
    if form == "classify":
        return why.derive("system", None, "a classification has no system message of its own")
    return why.take("system", task.system, "task.system")


def _check_unused(draft: Draft) -> Draft:
    """Whether the recipe says something that this form of the task has no use for."""
    task, form = draft.recipe.task, draft.shape.form
    if not isinstance(task, Prompted):
        return draft
    if form == "extract":
        return _refuse_unused(draft, ("prompt", "system"), "an answer that is cut out of its context")
    if form == "classify":
        return _refuse_unused(draft, ("prompt", "system"), "a label that an output layer chooses")
    if isinstance(task, QuestionAnswering):
        return _refuse_unused(draft, ("stride", "max_answer_length"), "an answer that is written")
    return draft


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


def _length(draft: Draft, why: Reasons, form: FormName) -> int:
    asked = draft.recipe.data.max_length
    if asked != "auto":
        return why.take("max_length", asked, "data.max_length")
    cap = EXTRACTION_CAP if form == "extract" else LENGTH_CAP
    limits = {
        "the model's positions": draft.model.max_positions,
        "the tokenizer's own limit": draft.model.tokenizer.model_max_length,
    }
    known = {name: limit for name, limit in limits.items() if limit}
    source, limit = min(known.items(), key=lambda item: item[1]) if known else ("no stated limit", None)
    if limit is not None and limit <= cap:
        return why.derive("max_length", limit, f"{source} end there")
    return why.derive("max_length", cap, f"`auto` stops at {cap}; {source} allow more")


def _check_length(draft: Draft) -> Draft:
    asked, positions = draft.recipe.data.max_length, draft.model.max_positions
    if asked == "auto" or positions is None or asked <= positions:
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
    task, length = draft.recipe.task, draft.shape.max_length
    if draft.shape.form != "extract" or not isinstance(task, QuestionAnswering):
        return draft
    if 2 * task.stride <= length:
        return draft
    return draft.find(
        "FTC253",
        f"windows of {length} tokens that share {task.stride} leave too few for question and context",
        "task.stride",
        help=f"write at most {max(1, length // 3)}, a third of a window",
    )
