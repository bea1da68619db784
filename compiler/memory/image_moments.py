"""The moments of a step and of measuring at which images are read, from what decides about a step's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ftc.compiler.memory.evaluation_formula import Moment
from ftc.compiler.memory.vision_formula import (
    TowerNumbers,
    behind_bytes,
    image_bytes,
    kept_image_bytes,
    merging_bytes,
    vision_weights,
)
from ftc.compiler.time.amounts import window_of
from ftc.compiler.tower_rows import Rows
from ftc.spec.documents.vision_facts import VisionFacts

if TYPE_CHECKING:
    from ftc.compiler.memory.memory_formula import MemoryInputs

__all__ = ["beside_images", "kept_of_images", "passing_image_casts", "reading_images"]

_FP32 = 4
_OF_TRAINING, _OF_PROMPTS = ("forward", "backward"), ("generation", "sampling")
_LAYERS = (": layers", ": prompts")
"""How moments end at which the language model's layers compute."""
_INSIDE = (*_LAYERS, ": last norm")
"""How those end at which it computes beside what its layers share."""


def reading_images(job: MemoryInputs, earlier: int) -> dict[str, Moment]:
    """The moments at which images are read; none for a model that reads text alone.

    Args:
        job: What decides.
        earlier: Bytes of the gradients of earlier micro-batches.
    """
    vision, measuring = job.model.vision, job.measuring
    if vision is None:
        return {}
    kept = kept_of_images(job) + passing_image_casts(job)
    held: dict[str, Moment] = {"forward": {"saved activations": kept, "gradients": earlier}}
    if measuring is not None:
        held["evaluation"] = {}
        if measuring.new_tokens:
            held["generation"] = {"optimiser state": 0}
    rows, found = _rows(job), dict[str, Moment]()
    for name, beside in held.items():
        found |= _moments(name, vision, job, rows[name], beside, eager=_is_eager(job, name))
    return found


def _rows(job: MemoryInputs) -> dict[str, Rows]:
    """The rows that are read at once, by the pass in whose moments they are."""
    rows = dict.fromkeys(_OF_TRAINING, Rows(job.tokens, job.length, job.images))
    if (measuring := job.measuring) is not None:
        measured = Rows(measuring.rows * measuring.length, measuring.length, measuring.images)
        rows |= dict.fromkeys(("evaluation", *_OF_PROMPTS), measured)
    return rows


def _is_eager(job: MemoryInputs, which: str) -> bool:
    """Whether attention holds its scores in a pass."""
    return job.eager if which in _OF_TRAINING or job.measuring is None else job.measuring.eager


def _moments(
    which: str, vision: VisionFacts, job: MemoryInputs, rows: Rows, held: Moment, *, eager: bool
) -> dict[str, Moment]:
    numbers = _numbers(job, eager=eager)
    ways = vision, rows, job.model.hidden_size, numbers
    sizes = {"images": image_bytes(*ways), "embedding": merging_bytes(*ways, masks=_made_masks(job, rows, numbers))}
    return {f"{which}: {name}": {**held, "temporaries": size} for name, size in sizes.items()}


def beside_images(job: MemoryInputs, moments: Mapping[str, Moment]) -> dict[str, Moment]:
    """The moments behind the tower with what they hold of images, as they are for a model that reads text alone.

    A batch's pixels are kept until the batch is done. What tower and projector gave is kept until the model returns it,
    and features that took their places among tokens until its layers are done.

    Args:
        job: What decides.
        moments: Without images, by name.
    """
    if (vision := job.model.vision) is None:
        return dict(moments)
    rows = _rows(job)
    return {
        name: moment if (read := rows.get(name.partition(":")[0])) is None else _beside(job, vision, moment, name, read)
        for name, moment in moments.items()
    }


def _beside(job: MemoryInputs, vision: VisionFacts, moment: Moment, name: str, rows: Rows) -> Moment:
    """A moment with what there is of the images of its rows."""
    which = name.partition(":")[0]
    numbers = _numbers(job, eager=_is_eager(job, which))
    held, is_inside = behind_bytes(vision, rows, job.model.hidden_size, numbers), name.endswith(_INSIDE)
    size = held.pixels
    if which != "backward":
        size += held.outputs * (is_inside or name.endswith(": head")) + held.joined * is_inside
    if is_inside or which in _OF_TRAINING:  # training keeps them for the backward pass
        size += _more_masks(job, rows, numbers) + _turns(job, rows, numbers)
    if name.endswith(_LAYERS) and _are_twice(job, vision, which):
        size += rows.tokens * job.model.hidden_size * numbers.embedding
    return {**moment, "temporaries": moment.get("temporaries", 0) + size}


def _turns(job: MemoryInputs, rows: Rows, numbers: TowerNumbers) -> int:
    """Cosines and sines for all rows, where places of tokens are those of their images; else one row's are for all."""
    if job.model.vision is None or not job.model.vision.card.places_in_images:
        return 0
    return 2 * rows.tokens * job.model.head_dim * numbers.embedding


def _are_twice(job: MemoryInputs, vision: VisionFacts, which: str) -> bool:
    """Whether states stand as a layer gave them beside themselves with the features that a layer's number adds.

    That is so behind the first layers. While prompts are read the last ones have more keys and values instead.
    """
    if vision.card.keeps_numbered != "features" or which == "backward":
        return False
    return which not in _OF_PROMPTS or vision.kept_numbers + 1 >= job.model.num_layers


def _num_masks(job: MemoryInputs) -> int:
    """Masks of all pairs that let tokens see ahead: one for layers with a window beside one for the others."""
    if job.model.vision is None or job.model.vision.card.sees_ahead == "none":
        return 0
    return 1 if window_of(job.model)[0] is None else 2


def _more_masks(job: MemoryInputs, rows: Rows, numbers: TowerNumbers) -> int:
    """Bytes of masks beside the one of truth values that the language model's layers are counted with.

    Where attention holds its scores a mask is what is added to them, and there is one in any case.
    """
    count, pairs = _num_masks(job), rows.tokens * rows.length
    return max(1, count) * numbers.embedding * pairs if numbers.eager else max(0, count - 1) * pairs


def _made_masks(job: MemoryInputs, rows: Rows, numbers: TowerNumbers) -> int:
    """Bytes of masks while the last one is made: of truth values, beside what it is put together of."""
    count, pairs, of_a_row = _num_masks(job), rows.tokens * rows.length, rows.length**2
    if not count:
        return numbers.embedding * pairs + of_a_row if numbers.eager else 0
    being_made = 2 * pairs + count * of_a_row
    if not numbers.eager:
        return (count - 1) * pairs + being_made
    return (count - 1) * numbers.embedding * pairs + max(being_made, (1 + numbers.embedding) * pairs)


def kept_of_images(job: MemoryInputs) -> int:
    """What the backward pass needs of trained parts that read images, with the casts of their weights.

    Where layers are computed again these are cast again, one layer's after the other's.
    """
    if (vision := job.model.vision) is None or job.is_adapter:
        return 0
    rows, numbers = Rows(job.tokens, job.length, job.images), _numbers(job, eager=job.eager)
    ways = job.frozen, rows, job.model.hidden_size, numbers
    cast = 0 if job.recomputes else _weight_casts(job)
    return cast + kept_image_bytes(vision, *ways, recomputes=job.recomputes)


def passing_image_casts(job: MemoryInputs) -> int:
    """Casts of trained weights that read images, where they stand until the way forward is over and no longer."""
    return _weight_casts(job) if job.recomputes else 0


def _weight_casts(job: MemoryInputs) -> int:
    """What products read in place of float32 weights in front of the language model."""
    if job.is_adapter or not (job.casts_weights and job.numbers.casts):
        return 0
    return job.activation_bytes * vision_weights(job.model, job.frozen)


def _numbers(job: MemoryInputs, *, eager: bool) -> TowerNumbers:
    """Bytes of numbers in a tower: its weights are never quantized, and are put together as products read them."""
    is_narrow = job.quantized or job.in_parts
    weight = job.activation_bytes if is_narrow else round(job.weight_bytes)
    return TowerNumbers(
        operand=job.activation_bytes,
        weight=weight,
        embedding=_FP32 if job.quantized else weight,
        on_card=job.on_card,
        eager=eager,
    )
