"""A draft as the counting of its work sees it: layers with what stands beside them, a row's form, rows' lengths."""

from __future__ import annotations

import numpy as np

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.memory.quantized_weights import packed_bytes
from ftc.compiler.strategies.trainable import num_trainable
from ftc.compiler.time import microbatches
from ftc.compiler.time.attention_pairs import Attending, Kernel, kernel_of, looks_back_alone, window_of
from ftc.compiler.time.network import Network, network_of
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.streams import RowLengths
from ftc.spec.heads import head_card
from ftc.spec.text_forms import form_card

__all__ = ["activation_bytes", "draft_kernel", "draft_network", "form_of", "lengths_of"]


def draft_network(draft: ClosedDraft, *, training: bool = True, adapters: bool = True) -> Network:
    """The draft's model, with what is trained of it.

    Args:
        draft: With its strategy and device settled.
        training: Whether it learns; attention may take another kernel where it doesn't.
        adapters: Whether what stands beside layers is computed.
    """
    trained = draft.trained
    return network_of(
        draft.model,
        beside=trained.beside if adapters else {},
        trained=trained.own,
        flows_from_start=trained.from_start,
        trainable=num_trainable(draft),
        new_outputs=head_card(draft.loaded.head).num_outputs(len(draft.labels)),
        packed_bytes=packed_bytes(draft),
        attention=draft_kernel(draft, draft.model, training=training),
    )


def draft_kernel(draft: ClosedDraft, model: ModelFacts, *, training: bool) -> Kernel:
    """What computes a model's attention in the draft's run; see `kernel_of`."""
    attention, precision = draft.candidate.attention, draft.train.precision
    return kernel_of(model, draft.device, attention, precision, training=training)


def form_of(draft: ClosedDraft, *, training: bool) -> microbatches.Form:
    """How a row becomes what goes through the draft's model."""
    model = draft.model
    virtual, is_split = draft.strategy.traits.num_virtual, model.family == "encoder_decoder"
    kernel, (window, _) = draft_kernel(draft, model, training=training), window_of(model)
    is_causal = looks_back_alone(model)
    # A decoder that predicts tokens never looks at the padding behind them; virtual tokens come with a mask.
    hides = head_card(draft.loaded.head).is_new or is_split or virtual > 0
    return microbatches.Form(
        draft.loaded.head,
        draft.loaded.family,
        is_pair=form_card(draft.text.form).is_pair,
        virtual=virtual,
        on_processor=draft.device.kind == "cpu",
        attending=Attending(kernel, causal=is_causal and not is_split, hides=hides, window=window),
        target_attending=Attending(kernel, causal=is_causal, hides=False),
    )


def lengths_of(draft: Draft, split: str) -> RowLengths:
    """The rows' lengths; where only the report is at hand, rows of its mean."""
    if split in draft.lengths:
        return draft.lengths[split]
    report = draft.splits[split]
    rows = max(1, report.rows)
    tokens = np.full(rows, report.tokens // rows, dtype=np.int64)
    scored = np.full(rows, report.supervised_tokens // rows, dtype=np.int64)
    return RowLengths(tokens, tokens - scored, scored, tokens // 2)


def activation_bytes(draft: Draft) -> int:
    """Of a number between layers."""
    return 2 if draft.train.precision == "bfloat16" else 4
