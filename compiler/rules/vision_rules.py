"""What isn't available for models that read images; `ftc.compiler.passes.check_facts` runs it."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.draft import Draft
from ftc.spec.diagnostics import Diagnostic, diagnostic
from ftc.spec.strategies.patterns import by_name
from ftc.spec.text_forms import form_card

__all__ = ["images_are_read_by_adapters_alone"]


def images_are_read_by_adapters_alone(draft: Draft) -> Iterator[Diagnostic]:
    """A model that reads images is trained by adapters on its language model, in tasks whose rows may have images."""
    if draft.model.vision is None:
        return
    name, recipe = draft.model.vision.model_type, draft.recipe
    if "image" not in recipe.task.CARD.part_names:
        summary = f"a {recipe.task.kind} task doesn't read images, and `{draft.model.name}` is a `{name}` model"
        yield _found(draft, summary, "task.kind", help="use `kind: generation` or `kind: chat`")
    elif draft.model.vision.card.sees_ahead == "prompt" and form_card(draft.text.form).is_conversation:
        summary = f"a `{name}` model reads its prompt in both directions, so a row has one answer and no conversation"
        yield _found(draft, summary, "task.kind", help="use `kind: generation`, with a prompt and its completion")
    traits = draft.strategy.traits
    if not traits.targets or traits.quantized is not None:
        summary = f"`{recipe.strategy.kind}` isn't available for a `{name}` model"
        help = "use `lora`, or another adapter on linear layers"
        yield _found(draft, summary, "strategy.kind", help=help)
    inside = {tensor for tensor in draft.model.tensors if set(draft.model.vision.parts) & set(tensor.split("."))}
    modules = {tensor.rpartition(".")[0] for tensor in inside}
    for end in getattr(recipe.strategy, "modules_to_save", ()):
        if any(by_name((end,), module) for module in modules):
            summary = f"`{end}` is part of what reads images, which stays frozen"
            yield _found(draft, summary, "strategy.modules_to_save", help="name modules of the language model alone")
    unavailable = {"train.distillation": recipe.train.distillation, "eval.swaps": recipe.eval.swaps}
    for path, asked in {**unavailable, "eval.baselines": recipe.eval.baselines or None}.items():
        if asked is not None:
            summary = f"`{path.rpartition('.')[2]}` isn't available for a `{name}` model"
            yield _found(draft, summary, path, help=f"remove `{path}`")


def _found(draft: Draft, summary: str, path: str, help: str) -> Diagnostic:
    return diagnostic("FTC127", summary, draft.source.span(path), help=help, path=path)
