"""How rows become tokens: form, template, length. Runs before anything is tokenized."""

from __future__ import annotations

from typing import assert_never

from ftc.compiler.draft import Draft, Reasons
from ftc.spec.documents.settings import Open, OpenText, TextSettings
from ftc.spec.heads import head_card
from ftc.spec.sections.augment import with_prompts
from ftc.spec.tasks.rows import AnswerRows
from ftc.spec.text_forms import FormName, form_card

__all__ = ["shape_text", "with_rows"]


def shape_text(draft: Draft) -> Draft:
    """Settles everything under `text` but labels, columns and a prompt made of columns, which the rows tell."""
    why = draft.reasons("text")
    mode = draft.mode
    form: FormName = mode.form
    if draft.recipe.task.names_mode:
        why.take("form", form, "task.mode")
    else:
        why.derive("form", form, mode.reason.format(family=draft.model.family))
    shape = OpenText(
        form=form,
        uses_chat_template=_uses_template(draft, why, form),
        max_length=_length(draft, why, form),
        overflow=why.take("overflow", draft.recipe.data.overflow, "data.overflow"),
        prompt=_prompt(draft, why),
        system=(
            why.derive("system", None, draft.mode.no_prompt[1])
            if draft.mode.no_prompt is not None
            else why.take("system", draft.recipe.task.system_message, "task.system")
        ),
    )
    draft = draft.settle("shape", shape, why)
    if draft.recipe.eval.baselines and not form_card(form).takes_examples:  # a model of another family takes prompts
        summary = f"an {draft.model.family.replace('_', '-')} model does this task without a prompt"
        help = "set `task.mode: generative`, use a decoder, or remove `baselines`"
        draft = draft.find("FTC254", summary, "eval.baselines", help=help)
    return _check_stride(_check_length(_check_unused(_check_template(draft))))


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
    assert words is not Open.OPEN, "the task has a prompt of its own form"
    if task.declared_labels is not None:
        why.take("labels", labels, "task.labels")
    elif head_card(draft.mode.head).answer == "numbers":
        why.derive("labels", labels, "a name for each number")
    else:
        why.derive(
            "labels",
            labels,
            "the labels of the training rows, sorted" if labels else f"a {task.kind} task has no classes",
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


def _uses_template(draft: Draft, why: Reasons, form: FormName) -> bool:
    """Whether text is wrapped as turns of the model's chat template."""
    has_template = draft.model.tokenizer.chat_template is not None
    use = form_card(form).chat_template
    match use:
        case "needed":
            return why.derive("uses_chat_template", True, "a chat needs the model's template")
        case "offered" if draft.model.family == "encoder_decoder":
            reason = "an encoder-decoder reads prompt and answer separately"
            return why.derive("uses_chat_template", False, reason)
        case "offered" if (vision := draft.model.vision) is not None and vision.card.prompt_words is not None:
            reason = f"a `{vision.model_type}` model has its own form of images, prompt and answer"
            return why.derive("uses_chat_template", False, reason)
        case "offered":
            reason = "the model has a chat template" if has_template else "the model has no chat template"
            return why.derive("uses_chat_template", has_template, reason)
        case "unused":
            reason = f"a {draft.recipe.task.kind} task reads the text unchanged"
            return why.derive("uses_chat_template", False, reason)
        case _:
            assert_never(use)


def _check_template(draft: Draft) -> Draft:
    if form_card(draft.shape.form).chat_template != "needed" or draft.model.tokenizer.chat_template is not None:
        return draft
    summary = f"`{draft.model.name}` has no chat template"
    help = "use an instruction-tuned base model, or a task of kind `generation`"
    return draft.find("FTC220", summary, "model.base", help=help)


def _prompt(draft: Draft, why: Reasons) -> str | Open | None:
    if draft.mode.no_prompt is not None:
        return why.derive("prompt", None, draft.mode.no_prompt[0])
    if (prompt := draft.recipe.task.template) is None:
        return Open.OPEN
    further = draft.recipe.data.augment.prompts if draft.recipe.data.augment else ()
    if not further:
        return why.take("prompt", prompt, "task.prompt")
    return why.derive(
        "prompt", with_prompts(prompt, further), f"the prompt, and {len(further)} additional ones for augmentation"
    )


def _check_unused(draft: Draft) -> Draft:
    """Whether the recipe says something that this way to do the task has no use for."""
    for key, summary, help in draft.mode.unused:
        if draft.source.node(f"task.{key}") is not None and getattr(draft.recipe.task, key) not in (None, False):
            draft = draft.find("FTC252", summary, f"task.{key}", help=help)
    return draft


def _length(draft: Draft, why: Reasons, form: FormName) -> int:
    asked = draft.recipe.data.max_length
    if asked != "auto":
        return why.take("max_length", asked, "data.max_length")
    cap = form_card(form).usual_max_length
    limits = {
        "the model's positions": draft.model.max_positions,
        "the tokenizer's own limit": draft.model.tokenizer.model_max_length,
    }
    known = {name: limit for name, limit in limits.items() if limit}
    source, limit = min(known.items(), key=lambda item: item[1]) if known else ("no stated limit", None)
    if limit is not None and limit <= cap:
        return why.derive("max_length", limit, f"{source} limit the sequence")
    return why.derive("max_length", cap, f"`auto` uses at most {cap}; {source} allow more")


def _check_length(draft: Draft) -> Draft:
    asked, positions = draft.recipe.data.max_length, draft.model.max_positions
    if asked == "auto" or positions is None or asked <= positions:
        return draft
    summary = f"`max_length` is {asked} tokens, but the model has {positions} positions"
    help = f"write at most {positions}"
    notes = f"`max_position_embeddings` in the model's config.json is {positions}"
    rope = draft.model.rope
    if rope is not None:
        help, notes = f"write at most {positions}, or raise `model.rope.factor`", f"{rope.original} x {rope.factor:g}"
    elif draft.model.kind.scales_rotation and draft.model.vision is None:
        help += ", or scale the rotation with `model.rope: {kind: yarn}`"
    return draft.find("FTC221", summary, "data.max_length", help=help, notes=notes)


def _check_stride(draft: Draft) -> Draft:
    """Whether windows move on at all."""
    rows, length = draft.recipe.task.settled(draft.model.family).rows(), draft.shape.max_length
    if not (isinstance(rows, AnswerRows) and rows.is_extractive) or rows.stride is None or 2 * rows.stride <= length:
        return draft
    summary = (
        f"sliding windows of {length} tokens with a stride of {rows.stride} leave too few tokens for question "
        "and context"
    )
    help = f"write at most {max(1, length // 3)}, a third of the window"
    return draft.find("FTC253", summary, "task.stride", help=help)
