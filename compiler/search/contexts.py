"""Whether several devices can share each row, and how many may.

Attention over the keys and values of all devices is a function of ftc's own that transformers' models call, so that it
takes a decoder whose layers look at other tokens there alone, and from everything before a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from ftc.compiler.draft import Draft
from ftc.compiler.search.candidates import device_counts, model_obstacle
from ftc.compiler.time.amounts import window_of
from ftc.spec.heads import head_card
from ftc.spec.rotations import BY_LENGTH, rotation_kinds, rotation_of
from ftc.spec.text_forms import form_card

__all__ = ["context_obstacle", "contexts"]

_PLACES = ("rotary", "learned")
"""How a decoder knows where a token stands, if it takes the places that it is given."""


def context_obstacle(draft: Draft) -> str | None:
    """Why devices can't share the rows of this job; None where they can."""
    return next(chain(_of_the_task(draft), _of_the_model(draft)), None)


def contexts(draft: Draft) -> tuple[int, ...]:
    """How many devices may share each row: what the recipe says, or one and then, where that doesn't fit, more."""
    asked = draft.recipe.train.context_parallel
    if asked != "auto":
        return (asked,)
    if context_obstacle(draft) is not None:
        return (1,)
    return (1, *group_sizes(draft))


def group_sizes(draft: Draft) -> Iterator[int]:
    """Sizes of groups, powers of two, into which the devices of a machine can be divided."""
    each = {count // draft.recipe.budget.nodes for count in device_counts(draft)}
    powers = (2**power for power in range(1, max(each).bit_length()))
    return (size for size in powers if any(count % size == 0 for count in each))


def _of_the_task(draft: Draft) -> Iterator[str]:
    recipe, form = draft.recipe, form_card(draft.text.form)
    task = recipe.task.kind.replace("_", " ")
    if not head_card(draft.loaded.head).writes or form.is_pair or form.has_texts:
        yield f"a {task} task scores whole rows"
    if recipe.train.distillation is not None:
        yield "a teacher reads whole rows"
    if recipe.writing is not None:
        yield "answers are written before a step, and each device has its own"
    if draft.strategy.traits.num_virtual:
        yield "its virtual tokens come before each row, and would come before each part of one"
    if recipe.train.neftune_alpha is not None:
        yield "the noise of `neftune_alpha` goes by the tokens of a whole row"
    if recipe.train.router_aux_loss is not None:
        yield "the routers' loss is one of all tokens of a row"
    if recipe.model.attention not in ("auto", "sdpa"):
        yield f"`attention: {recipe.model.attention}` knows no keys of other devices, and `sdpa` does"


def _of_the_model(draft: Draft) -> Iterator[str]:
    model, config = draft.model, draft.model.config
    kind: str = model.model_type
    if model.family != "decoder":
        yield f"an {model.family.replace('_', '-')} attends to later tokens too"
    if model.vision is not None:
        yield "the images of a row would be read by one device alone"
    if (obstacle := model_obstacle(draft, "sdpa")) is not None:
        yield obstacle
    if model.kind.positions not in _PLACES or model.kind.reads_padding is not False:
        yield f"ftc doesn't know that a `{kind}` model takes the places of tokens as they are given"
    if {str(one) for one in config.get("layer_types") or ()} - {"full_attention", "sliding_attention"}:
        yield f"layers of this `{kind}` model carry a state from token to token"
    if config.get("attn_logit_softcapping"):
        yield f"a `{kind}` model caps the scores of attention, which `sdpa` does not"
    window, near = window_of(model)
    if window is not None and near and window < draft.splits["train"].length_max:
        yield f"layers of this `{kind}` model attend to {window:,} tokens before each alone"
    rotations = frozenset({model.rope.kind}) if model.rope else rotation_kinds(rotation_of(config))
    for rotation in sorted(rotations & BY_LENGTH):
        yield f"its rotation is `{rotation}`: it follows the last token that a device has"
