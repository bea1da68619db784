"""Whether several devices can divide each layer, and how many may.

The run divides linear layers by transformers' own plan for the model, holds what is divided as parts, and everything
else of a layer as it is; so it takes a decoder of which ftc knows that its plan leaves each device whole heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ftc.compiler.divided_layers import undivided_widths
from ftc.compiler.draft import Draft
from ftc.compiler.rules.sharing_rules import Sharing, asked_sharing
from ftc.compiler.rules.train_rules import unsharded
from ftc.compiler.search.contexts import contexts, group_sizes
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card
from ftc.spec.shardings import sharding_card
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = ["sharings", "tensor_obstacle"]


def tensor_obstacle(draft: Draft, devices: int) -> str | None:
    """Why so many devices can't divide the layers of this job; None where they can."""
    found = chain(_of_the_task(draft), _of_the_weights(draft), _of_the_model(draft, devices))
    return next(found, None)


def sharings(draft: Draft) -> Iterator[Sharing]:
    """Which devices may have the same rows: as the recipe says, or each its own and then, where that doesn't fit, those
    that share tokens of a row, and at last those that divide each layer.
    """
    asked = asked_sharing(draft.recipe)
    if asked.tensor > 1:
        yield asked
        return
    tokens = contexts(draft)
    yield from (Sharing(context=size) for size in tokens)
    if draft.recipe.train.tensor_parallel == "auto" and tokens[0] == 1:
        yield from (Sharing(tensor=size) for size in group_sizes(draft) if tensor_obstacle(draft, size) is None)


def _of_the_task(draft: Draft) -> Iterator[str]:
    recipe, form = draft.recipe, form_card(draft.text.form)
    if not head_card(draft.loaded.head).writes or form.is_pair or form.has_texts:
        yield f"that isn't tested for a {recipe.task.kind.replace('_', ' ')} task"
    if recipe.train.distillation is not None:
        yield "a teacher's layers are whole"
    if recipe.writing is not None:
        yield "each device writes answers of its own before a step"


def _of_the_weights(draft: Draft) -> Iterator[str]:
    recipe, traits = draft.recipe, draft.strategy.traits
    card = strategy_card(draft.strategy)
    if traits.quantized is not None or draft.model.packed is not None:
        yield "quantized weights are packed as a whole"
    elif not card.divides_layers:
        yield f"what {card.label} trains does not follow the columns and rows of layers"
    if getattr(recipe.strategy, "dora", False):
        yield "DoRA takes the length of whole weights"
    if recipe.train.quantize_aware is not None or precision_card(draft.train.precision).float8 is not None:
        yield "layers that round their weights take them whole"
    if precision_card(draft.train.precision).scales_loss:
        yield f"with `{draft.train.precision}` each device would scale the loss by its own part of the gradients"
    if draft.train.averages:
        yield "an average of weights is kept of whole ones"
    if (one := next(iter(unsharded(recipe)), None)) is not None:
        yield one.reason
    asked = recipe.train.sharding
    if asked != "auto" and not sharding_card(asked).is_divided:
        yield f"`sharding: {asked}` exchanges gradients of whole weights"
    if recipe.train.offload == "cpu":
        yield "parts that lie in host RAM can't be summed between devices"


def _of_the_model(draft: Draft, devices: int) -> Iterator[str]:
    model = draft.model
    if model.vision is not None:
        yield "layers that read images are not in the plan"
    if model.kind.divides_layers is not True:
        yield f"ftc doesn't know that transformers' plan for a `{model.model_type}` model gives each device whole heads"
    if (width := undivided_widths(model, devices)) is not None:
        yield f"{devices} devices can't share the model's {width}"
