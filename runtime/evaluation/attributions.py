"""Why a classifier chose: what each token of a row adds to the score of the class that was chosen.

Gradient times input (Shrikumar et al. 2016) on the token embeddings: the score's gradient by a token's embedding, times
that embedding, summed. To first order this is by how much the score would fall were the embedding zero. It costs one
forward and one backward pass for each row that is shown, and nothing for all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.execution.session import Session
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.spec.documents.attributions import Attribution, TokenWeight
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import head_card

__all__ = ["attributions"]

_LONGEST = 512
"""Tokens of a row; a backward pass of a longer one could take more memory than the plan has for measuring."""


def attributions(
    session: Session, work: ModelWithScorer, rows: TokenStream, scores: Sequence[RowScore]
) -> tuple[Attribution, ...]:
    """Of the rows that a report shows: the sample, and those with the highest and the lowest loss.

    Empty where the model gives a row no single class, or lies in parts on several devices.
    """
    settings = session.plan.settings
    head = head_card(settings.model.head)
    if not head.has_confidence or is_sharded(work.model):
        return ()
    count = settings.eval.samples
    ranked = [one.row for one in sorted(scores, key=lambda one: one.loss_sum)]
    shown = sorted({*sorted(ranked)[:count], *ranked[:count], *ranked[len(ranked) - min(count, len(ranked)) :]})
    tokenizer = Tokenizer.from_file(str(session.inputs.model_folder / "tokenizer.json"))
    chosen = {one.row: int(one.predicted[0]) for one in scores}
    found, was_training = [], work.model.training
    work.model.eval()
    try:
        for number in shown:
            session.stop.check()
            if len(rows.ids(number)) > _LONGEST:
                continue
            weights = _weights(work, rows, number, chosen[number], session.accelerator.device)
            if weights is not None:
                label = settings.text.labels[chosen[number]]
                tokens = _pieces(tokenizer, rows.ids(number).tolist(), weights)
                found.append(
                    Attribution(row=int(rows.rows[number]), place=rows.place(number), label=label, tokens=tokens)
                )
    finally:
        work.model.train(was_training)
    return tuple(found)


def _weights(
    work: ModelWithScorer, rows: TokenStream, number: int, label: int, device: torch.device
) -> list[float] | None:
    """(T,) what each token adds to the score of a class; None where that is no number, or no gradient arrives."""
    model: Any = work.model
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    seen: list[torch.Tensor] = []

    def keep(_layer: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if seen:  # the decoder of an encoder-decoder reads through the same layer
            return output
        seen.append(output.detach().requires_grad_(True))
        return seen[0]

    reader = inner.get_encoder() if inner.config.is_encoder_decoder else inner
    handle = reader.get_input_embeddings().register_forward_hook(keep)
    try:
        with torch.enable_grad():
            batch = work.scorer.batch(rows, [number]).to(device)
            score = work.scorer.logits(model, batch)[0, label]
            (gradient,) = torch.autograd.grad(score, seen, allow_unused=True) if seen else (None,)
    finally:
        handle.remove()
    if gradient is None:
        return None
    length = len(rows.ids(number))
    values = (gradient * seen[0].detach()).float().sum(dim=-1)[0][-length:]
    return values.tolist() if bool(values.isfinite().all()) else None


def _pieces(tokenizer: Tokenizer, ids: list[int], weights: Sequence[float]) -> tuple[TokenWeight, ...]:
    """Each token's text, as it adds to the row's; those that add none, such as special ones, are left out."""
    found, before = [], ""
    for count, weight in enumerate(weights, start=1):
        text = str(tokenizer.decode(ids[:count], skip_special_tokens=True))
        piece = text[len(before) :] if text.startswith(before) else text[len(before.rstrip()) :]
        before = text
        if piece:
            found.append(TokenWeight(text=piece, weight=weight))
    return tuple(found)
