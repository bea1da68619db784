"""What a plan says of a run's loss: which tokens are hidden, what is changed of it, what numbers are learned in."""

from __future__ import annotations

from collections.abc import Iterator

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.settings import TrainSettings
from ftc.views import numbers
from ftc.views.page import escaped

__all__ = ["loss_words", "scale_words"]


def loss_words(train: TrainSettings) -> Iterator[str]:
    """Which tokens are hidden in training, and what is changed of the loss."""
    if train.masking is not None:
        yield f"{numbers.percent(train.masking.share)} of the tokens masked, others in each step"
    if (spans := train.spans) is not None:
        of = f"in spans of {spans.mean_length:g} on average, others in each step"
        yield f"{numbers.percent(spans.share)} of the tokens missing, {of}"
    if weights := train.class_weights:
        yield f"class weights {min(weights):.2g} to {max(weights):.2g}"
    if train.focal_gamma is not None:
        yield f"focal loss, gamma {train.focal_gamma:g}"
    if train.loss is not None:
        yield f"loss `{escaped(train.loss)}` of a package"
    if train.z_loss is not None:
        yield f"z-loss, weight {train.z_loss:g}"


def scale_words(plan: Plan) -> str:
    """What the numbers are learned in, of the first few: ` of (score - 3.1) / 0.9`."""
    rated = plan.settings.train.regression
    assert rated is not None, "the caller has numbers"
    named = list(zip(plan.settings.text.labels, rated.scales, strict=True))
    if all((scale.mean, scale.spread) == (0, 1) for _, scale in named):
        return ""
    shown = [f"({escaped(name)} - {scale.mean:.4g}) / {scale.spread:.4g}" for name, scale in named[:3]]
    return f" of {', '.join(shown)}{', …' if len(named) > 3 else ''}"
