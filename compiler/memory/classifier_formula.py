"""What a classifier that looks at written answers takes: of memory by closed form, and of work.

It runs in float32 once the tuned model has left the device. How long the answers will be in its tokens nobody knows; as
many as four for each token that is written are more than usual.
"""

from __future__ import annotations

import numpy as np

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.layer_formula import Numbers, Trained
from ftc.compiler.memory.stacks import stacks_of
from ftc.compiler.time import microbatches
from ftc.compiler.time.amounts import Amounts
from ftc.compiler.time.attention_pairs import kernel_of
from ftc.compiler.time.network import Network, network_of
from ftc.spec.documents.estimates import PhasePeak
from ftc.spec.documents.settings import ClassifierSettings
from ftc.spec.documents.streams import RowLengths

__all__ = ["grader_amounts", "grader_network", "grading_peak"]

_FP32 = 4
_TOKENS_EACH = 4


def grading_peak(draft: ClosedDraft) -> PhasePeak | None:
    """The classifier's weights with its widest layer, beside a candidate; None without one."""
    model, settings = draft.grader, draft.classifier
    if model is None or settings is None:
        return None
    rows, length = _rows(draft, settings), _longest(draft, settings)
    has_decoder = model.num_decoder_layers is not None
    both = length * (1 + has_decoder)
    stacks = stacks_of(model, rows * both, both, length * has_decoder, masked=rows > 1)
    exact = Numbers(operand=_FP32, linear=_FP32, residual=_FP32)
    untrained = Trained(all_weights=False, beside={})
    held = {
        "weights": _FP32 * model.num_parameters,
        "temporaries": max(stack.going_through_bytes(exact, untrained) for stack in stacks),
        "logits": _FP32 * rows * settings.num_labels,
    }
    return PhasePeak(phase="grade", peak_bytes=sum(held.values()), components=held)


def grader_network(draft: Draft) -> Network:
    """The classifier's layers; a draft without one has none."""
    assert draft.grader is not None, "the caller looked"
    assert draft.classifier is not None, "both are known or none is"
    return network_of(
        draft.grader,
        beside={},
        trained=(),
        flows_from_start=False,
        trainable=0,
        new_outputs=draft.classifier.num_labels,
        attention=kernel_of(draft.grader, draft.device, "sdpa", "float32", training=False),
    )


def grader_amounts(draft: ClosedDraft, right: RowLengths, new_tokens: int | None) -> Amounts:
    """What the classifier is fed for one model's answers to all test rows.

    Args:
        draft: With the evaluation settled.
        right: Lengths of the test rows.
        new_tokens: Tokens of each answer; None for as many as the right ones have.
    """
    assert draft.grader is not None, "the caller looked"
    assert draft.classifier is not None, "both are known or none is"
    lengths = right.scored if new_tokens is None else np.full_like(right.scored, new_tokens)
    lengths = np.clip(lengths, 1, draft.classifier.max_length)
    answers = RowLengths(lengths, lengths, np.ones_like(lengths), lengths)
    form = microbatches.Form("classification", draft.grader.family)
    return microbatches.evaluated(answers, form, _rows(draft, draft.classifier))


def _rows(draft: ClosedDraft, settings: ClassifierSettings) -> int:
    """Answers that are looked at at once; one alone where nothing can fill shorter ones."""
    return 1 if settings.pad_id is None else draft.candidate.eval_batch


def _longest(draft: Draft, settings: ClassifierSettings) -> int:
    most = draft.eval.max_new_tokens
    return settings.max_length if most is None else min(settings.max_length, _TOKENS_EACH * most)
