"""What a run takes of a machine's RAM beside its devices: models that are read there, parts and copies kept there."""

from __future__ import annotations

from ftc.compiler.draft import ClosedDraft
from ftc.compiler.memory.evaluation_formula import held_bytes
from ftc.compiler.memory.loading_formula import dequantizing_bytes
from ftc.compiler.weights import bytes_per_weight, card_of, checkpoint_bytes, num_trainable
from ftc.spec.precisions import precision_card
from ftc.spec.shardings import sharding_card
from ftc.spec.strategies import strategy_card

__all__ = ["copied_checkpoint", "host_bytes"]


def host_bytes(draft: ClosedDraft) -> int:
    """Bytes that all processes of one machine take in its RAM at the most.

    0 where no model is divided and no checkpoint is copied. Loading: the first process holds the model, of which all
    others, on its machine and elsewhere, get a layer at a time. Then each process reads a teacher, which is whole.
    Training, with parts in host RAM: a machine's processes keep their parts of weights, gradients and optimizer state.
    On the first machine they take the place of what was read, which is gone before the first checkpoint. That is copied
    there while it is written in the background.
    """
    if not draft.candidate.is_divided:
        return copied_checkpoint(draft)
    is_whole = strategy_card(draft.strategy).is_whole
    precision, trained = precision_card(draft.train.precision), num_trainable(draft)
    width, own = precision.base_type(is_whole=is_whole).size, precision.trained.size
    model = width * draft.model.num_parameters + (0 if is_whole else own * trained)
    kept = (own + bytes_per_weight(draft, card_of(draft))) * trained
    share = draft.devices_of_a_machine / draft.parts if draft.candidate.offload == "cpu" else 0
    read = model + dequantizing_bytes(draft.model)
    taught = round(model * share) + draft.devices_of_a_machine * _read_teacher(draft)
    return max(read, taught, round((model + kept) * share) + copied_checkpoint(draft))


def _read_teacher(draft: ClosedDraft) -> int:
    """Bytes of a teacher that a process has in host RAM before a card gets it; one that is packed passes by layers."""
    lesson = draft.distillation
    if draft.teacher is None or lesson is None or lesson.quantization is not None or draft.device.kind != "cuda":
        return 0
    model = draft.teacher.model
    return held_bytes(model, lesson.precision, None) + dequantizing_bytes(model)


def copied_checkpoint(draft: ClosedDraft) -> int:
    """Bytes of the checkpoint that all processes of a machine hold in its memory while it is written; 0 for none.

    There is one at a time. Machines that divide a model among them hold as much of it each.
    """
    if not draft.train.save_in_background:
        return 0
    among = sharding_card(draft.candidate.sharding).divided_among
    return -(-checkpoint_bytes(draft) // (draft.recipe.budget.nodes if among == "run" else 1))
