"""What isn't available for models that read images; `ftc.compiler.passes.check_facts` runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.module_names import ModelPart
from ftc.spec.precisions import precision_card
from ftc.spec.strategies import strategy_card
from ftc.spec.strategies.patterns import by_name
from ftc.spec.tasks import TASKS
from ftc.spec.text_forms import form_card

__all__ = [
    "VISION_RULES",
    "crops_need_images",
    "features_join_tokens",
    "images_are_read_in_some_tasks",
    "lonely_part",
    "parts_have_gradients_everywhere",
    "parts_stay_frozen",
]


def images_are_read_in_some_tasks(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """A model that reads images is trained in tasks whose rows may have images, by what transformers computes."""
    if draft.model.vision is None:
        return
    name, recipe = draft.model.vision.model_type, draft.recipe
    if "image" not in recipe.task.CARD.part_names:
        summary = f"a {recipe.task.kind} task doesn't read images, and `{draft.model.name}` is a `{name}` model"
        able = sorted(task.name() for task in TASKS if "image" in task.CARD.part_names)
        yield _found(draft, summary, "task.kind", help=f"use {' or '.join(f'`kind: {one}`' for one in able)}")
    elif draft.model.vision.card.sees_ahead == "prompt" and form_card(draft.text.form).is_conversation:
        summary = f"a `{name}` model reads its prompt in both directions, so a row has one answer and no conversation"
        yield _found(draft, summary, "task.kind", help="use `kind: generation`, with a prompt and its completion")
    unavailable = {
        "train.distillation": recipe.train.distillation,
        "train.quantize_aware": recipe.train.quantize_aware,
        "eval.swaps": recipe.eval.swaps,
        "eval.baselines": recipe.eval.baselines or None,
    }
    for path, asked in unavailable.items():
        if asked is not None:
            summary = f"`{path.rpartition('.')[2]}` isn't available for a `{name}` model"
            yield _found(draft, summary, path, help=f"remove `{path}`")
    if draft.train.float8 is not None:
        summary = f"products in 8 bits aren't available for a `{name}` model"
        yield _found(draft, summary, "train.precision", help="write `precision: bfloat16`")


def parts_stay_frozen(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Adapters stand on the language model alone, and other strategies change what their cards say they can."""
    if draft.model.vision is None:
        return
    recipe = draft.recipe
    if not strategy_card(draft.strategy).reads_images:
        summary = f"`{recipe.strategy.kind}` isn't available for a `{draft.model.vision.model_type}` model"
        help = "use `lora`, or another adapter on linear layers, or `full`"
        yield _found(draft, summary, "strategy.kind", help=help)
    inside = {tensor for tensor in draft.model.tensors if set(draft.model.vision.parts) & set(tensor.split("."))}
    modules = {tensor.rpartition(".")[0] for tensor in inside}
    for end in getattr(recipe.strategy, "modules_to_save", ()):
        if any(by_name((end,), module) for module in modules):
            summary = f"`{end}` is part of what reads images, which stays frozen beside an adapter"
            ways = ("name modules of the language model alone", "or write `kind: full`, with `train_parts`")
            yield _found(draft, summary, "strategy.modules_to_save", help=ways)


def features_join_tokens(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Beside packed weights tokens' vectors are float32, and the tower keeps the type of frozen weights."""
    vision, precision = draft.model.vision, draft.train.precision
    if vision is None or not vision.card.features_as_tower or draft.strategy.traits.quantized is None:
        return
    if precision_card(precision).is_mixed:
        ways = f"`{draft.recipe.strategy.kind}` in {precision}"
        summary = f"transformers can't join images and tokens of a `{vision.model_type}` model with {ways}"
        help = ("write `kind: lora`", "or `train: {precision: float32}`")
        notes = f"features of images are {precision} there, as the vision tower is, and tokens' vectors are float32"
        yield _found(draft, summary, "strategy.kind", help=help, notes=notes)


def lonely_part(draft: Draft) -> ModelPart | None:
    """The trained part whose gradients processes that have rows of their own can't exchange; None where they can.

    There are none of a projector where a process has no image, and none of the layers of a tower whose states the
    model doesn't use.

    Args:
        draft: With its strategy settled.
    """
    if (vision := draft.model.vision) is None or (settled := draft.loaded.vision) is None:
        return None
    if vision.card.tower not in settled.frozen:
        return "vision_tower"
    images = draft.row_images.get("train")
    is_everywhere = images is not None and len(np.unique(images.sizes.rows)) == images.rows
    return None if vision.card.projector in settled.frozen or is_everywhere else "projector"


def parts_have_gradients_everywhere(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Processes that share a step wait for each other's gradients of every weight that is trained."""
    if draft.candidate.row_shares == 1:
        return
    part, path = lonely_part(draft), "strategy.train_parts"
    if part == "vision_tower":
        summary = "a trained vision tower can't be shared by several processes"
        help = ("write `train_parts: [projector, language_model]`", "or `devices: 1`")
        yield _found(
            draft,
            summary,
            path,
            help=help,
            notes="a model may use states of an earlier layer; those behind it then have no gradients to exchange",
        )
    elif part == "projector":
        summary = "the projector is trained by several processes, and some rows have no image"
        help = ("write `train_parts: [language_model]`", "or `devices: 1`, or give each row an image")
        notes = "a process whose rows have none has no gradients of it, for which the others would wait"
        yield _found(draft, summary, path, help=help, notes=notes)


def crops_need_images(draft: ClosedDraft) -> Iterator[Diagnostic]:
    """Crops of images mean nothing where a model reads text alone."""
    if draft.recipe.model.pan_and_scan is not None and draft.model.vision is None:
        path = "model.pan_and_scan"
        summary, help = "`pan_and_scan` has no effect: the model reads text alone", "remove `pan_and_scan`"
        yield diagnostic("FTC230", summary, draft.source.span(path), help=help, path=path)


VISION_RULES: tuple[Callable[[ClosedDraft], Iterator[Diagnostic]], ...] = (
    images_are_read_in_some_tasks,
    parts_stay_frozen,
    features_join_tokens,
    parts_have_gradients_everywhere,
    crops_need_images,
)


def _found(
    draft: ClosedDraft, summary: str, path: str, help: str | tuple[str, ...], notes: str | tuple[str, ...] = ()
) -> Diagnostic:
    return diagnostic("FTC127", summary, draft.source.span(path), help=help, notes=notes, path=path)
