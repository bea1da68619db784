"""What isn't available for models that read images; `ftc.compiler.passes.check_facts` runs it."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.compiler.draft import Draft
from ftc.spec.diagnostics import Diagnostic, diagnostic

__all__ = ["images_are_read_by_adapters_alone"]


def images_are_read_by_adapters_alone(draft: Draft) -> Iterator[Diagnostic]:
    """A model that reads images is trained by adapters on its language model, in tasks whose rows may have images."""
    if draft.model.vision is None:
        return
    name, recipe = draft.model.vision.model_type, draft.recipe
    if "image" not in recipe.task.CARD.part_names:
        summary = f"a {recipe.task.kind} task doesn't read images, and `{draft.model.name}` is a `{name}` model"
        yield _found(draft, summary, "task.kind", help="use `kind: generation` or `kind: chat`")
    traits = draft.strategy.traits
    if not traits.targets or traits.quantized is not None:
        summary = f"`{recipe.strategy.kind}` isn't available for a `{name}` model"
        help = "use `lora`, or another adapter on linear layers"
        yield _found(draft, summary, "strategy.kind", help=help)
    for path, asked in (("train.distillation", recipe.train.distillation), ("eval.swaps", recipe.eval.swaps)):
        if asked is not None:
            summary = f"`{path.rpartition('.')[2]}` isn't available for a `{name}` model"
            yield _found(draft, summary, path, help=f"remove `{path}`")


def _found(draft: Draft, summary: str, path: str, help: str) -> Diagnostic:
    return diagnostic("FTC127", summary, draft.source.span(path), help=help, path=path)
