"""Why a classifier chose: what each token of a row adds to the score of the class that was chosen.

Integrated gradients (Sundararajan et al. 2017) on the token embeddings, from the average embedding of the vocabulary to
the row's own: what the tokens add sums to the row's score less that of a row of average tokens. The gradient at the row
alone (gradient times input) says little of a model that is sure, whose score is flat there: on tuned models it often
had the wrong sign. A row that is shown costs `PATH_POINTS` forward and backward passes, all others cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.polynomial.legendre import leggauss
from tokenizers import Tokenizer

from ftc.runtime.evaluation.scoring import RowScore
from ftc.runtime.execution.session import Session
from ftc.runtime.models.sharding import is_sharded
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.spec.documents.attributions import LONGEST_ROW, PATH_POINTS, Attribution, AttributionMethod, TokenWeight
from ftc.spec.documents.streams import TokenStream
from ftc.spec.heads import head_card
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.storage.tokenizer_file import FILE

__all__ = ["attributions"]

_METHOD: AttributionMethod = "integrated_gradients"
_IDS_AT_ONCE = 4096
"""Of the vocabulary, while its mean is taken."""


def attributions(
    session: Session, work: ModelWithScorer, rows: TokenStream, scores: Sequence[RowScore]
) -> tuple[Attribution, ...]:
    """Of the rows that a report shows openly: the sample, and those with the highest loss.

    Empty where the model gives a row no single class, or lies in parts on several devices.
    """
    settings = session.plan.settings
    head = head_card(settings.model.head)
    if not head.has_confidence or is_sharded(work.model):
        return ()
    count = settings.eval.samples
    ranked = [one.row for one in sorted(scores, key=lambda one: one.loss_sum)]
    shown = sorted({*sorted(ranked)[:count], *ranked[len(ranked) - min(count, len(ranked)) :]})
    tokenizer = Tokenizer.from_file(str(tokenizer_folder(session.inputs.model_folder, settings.model.tokenizer) / FILE))
    chosen = {one.row: int(one.predicted[0]) for one in scores}
    found, was_training = [], work.model.training
    work.model.eval()
    try:
        path = _path(work, tokenizer, session.accelerator.device)
        at_once = min(PATH_POINTS, settings.train.micro_batch)  # whose gradients fitted in training
        for number in shown:
            session.stop.check()
            if len(rows.ids(number)) > LONGEST_ROW:
                continue
            weights = _weights(work, rows, number, chosen[number], path, at_once)
            if weights is not None:
                label = settings.text.labels[chosen[number]]
                tokens = _pieces(tokenizer, rows.ids(number).tolist(), weights)
                row, place = int(rows.rows[number]), rows.place(number)
                found.append(Attribution(row=row, place=place, label=label, tokens=tokens, method=_METHOD))
    finally:
        work.model.train(was_training)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Path:
    """From average tokens to a row's own.

    Attributes:
        layer: The token embeddings.
        average: (H,) mean of the embeddings of the vocabulary, as the layer gives them.
        special: Ids of tokens that stay as they are.
        points: Where on the way the gradient is taken, from 0 to 1.
        sizes: How much of the way each stands for.
    """

    layer: Any
    average: torch.Tensor
    special: torch.Tensor
    points: torch.Tensor
    sizes: torch.Tensor


def _path(work: ModelWithScorer, tokenizer: Tokenizer, device: torch.device) -> _Path:
    model: Any = work.model
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    layer = (inner.get_encoder() if inner.config.is_encoder_decoder else inner).get_input_embeddings()
    known = tokenizer.get_added_tokens_decoder().items()
    special = torch.tensor([number for number, token in known if token.special], dtype=torch.long, device=device)
    size = inner.config.get_text_config().vocab_size
    with torch.no_grad():
        parts = torch.arange(size, device=device).split(_IDS_AT_ONCE)
        average = torch.stack([layer(part).float().sum(dim=0) for part in parts]).sum(dim=0) / size
    points, sizes = (torch.tensor(one, dtype=torch.float32, device=device) for one in leggauss(PATH_POINTS))
    return _Path(layer, average, special, (points + 1) / 2, sizes / 2)


def _weights(
    work: ModelWithScorer, rows: TokenStream, number: int, label: int, path: _Path, at_once: int
) -> list[float] | None:
    """(T,) what each token adds to the score of a class; None where that is no number, or no gradient arrives.

    Args:
        work: The model.
        rows: Where the row is.
        number: Which it is.
        label: The class.
        path: From average tokens to the row's own.
        at_once: Points of the path in a batch.
    """
    model: Any = work.model
    given: list[torch.Tensor] = []
    shares, change, total = torch.zeros(()), torch.zeros(()), torch.zeros(())

    def walk(_layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        nonlocal change
        if given:  # the decoder of an encoder-decoder reads through the same layer
            return output
        own = output.detach()
        stays = torch.isin(inputs[0], path.special).unsqueeze(-1)
        change = torch.where(stays, torch.zeros_like(own), own - path.average.to(own.dtype))
        given.append((own - (1.0 - shares).to(own.dtype).view(-1, 1, 1) * change).requires_grad_(True))
        return given[0]

    handle = path.layer.register_forward_hook(walk)
    try:
        for points, sizes in zip(path.points.split(at_once), path.sizes.split(at_once), strict=True):
            shares = points
            given.clear()
            batch = work.scorer.batch(rows, [number] * len(points)).to(points.device)
            with torch.enable_grad():
                score = work.scorer.logits(model, batch)[:, label].sum()
                (gradient,) = torch.autograd.grad(score, given, allow_unused=True) if given else (None,)
            if gradient is None:
                return None
            total = total + (gradient.float() * sizes.view(-1, 1, 1)).sum(dim=0)
    finally:
        handle.remove()
    values = (total * change[0].float()).sum(dim=-1)[-len(rows.ids(number)) :]
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
