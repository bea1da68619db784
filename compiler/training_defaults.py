"""Learning rates, the length of training and class weights, as they follow from the model, its head and the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ftc.compiler.draft import Draft, Reasons
from ftc.compiler.weights import base_of
from ftc.spec.heads import head_card
from ftc.spec.optimizer_choice import candidates
from ftc.spec.precisions import FIRST_CHOICE, precision_card
from ftc.spec.strategies import strategy_card

__all__ = ["choose_class_weights", "choose_head_rate", "choose_rate", "choose_steps", "narrow_words", "weights_of"]

_USUAL_EPOCHS = 3
_RARE = 1 / 3
"""Share of an even share of the rows below which a class counts as rare."""


def choose_rate(draft: Draft, why: Reasons) -> float:
    """The peak learning rate."""
    asked, strategy = draft.recipe.train.learning_rate, draft.recipe.strategy
    if asked != "auto":
        return why.take("learning_rate", asked)
    rate = candidates(draft.recipe.train.optimizer.kind, draft.recipe.train.precision)[0].rate
    # A run that goes on from another one has its trained head.
    has_new_head = bool(base_of(draft).head_modules) and draft.begins is None
    width = draft.model.hidden_size
    usual, reason = strategy.usual_rate(strategy_card(strategy), width, has_new_head=has_new_head)
    if rate.reason is not None:
        reason = rate.reason.format(reason)
    return why.derive("learning_rate", rate.beside(usual), reason)


def choose_head_rate(draft: Draft, why: Reasons) -> tuple[float | None, tuple[str, ...]]:
    """The learning rate of a new head, and its modules; nothing where it learns as everything else does."""
    asked, modules, path = draft.recipe.train.head_learning_rate, base_of(draft).head_modules, "head_learning_rate"
    if not modules:
        why.derive("head_modules", (), "there is no new head")
        return why.derive(path, None, "there is no new head"), ()
    names = why.derive("head_modules", modules, "the modules that the new head makes")
    if asked != "auto":
        return why.take(path, asked), names
    if draft.begins is not None:  # whose run made the same head, see `labels_stay`
        why.derive("head_modules", (), "the head learns as everything else does")
        return why.derive(path, None, "that of everything else, since the earlier run has trained the head"), ()
    if draft.recipe.train.learning_rate != "auto":
        why.derive("head_modules", (), "the head learns as everything else does")
        return why.derive(path, None, "that of everything else, since the recipe sets `learning_rate`"), ()
    rate = candidates(draft.recipe.train.optimizer.kind, draft.recipe.train.precision)[0].rate
    usual, beside = strategy_card(draft.recipe.strategy).head_rate
    reason = f"{beside}, since a new head is randomly initialized"
    reason = reason if rate.reason is None else rate.reason.format(reason)
    return why.derive(path, rate.beside(usual), reason), names


def choose_steps(draft: Draft, why: Reasons) -> tuple[int, int]:
    """Optimizer steps of the run, and of an epoch."""
    train, rows = draft.recipe.train, draft.splits["train"].rows
    counted = f"{rows:,} training rows"
    if (sampling := draft.recipe.task.sampling) is not None:
        rows, counted = rows * sampling.group_size, f"{counted} with {sampling.group_size} answers each,"
    per_epoch = math.ceil(rows / train.batch_size)
    why.derive("steps_per_epoch", per_epoch, f"{counted} in batches of {train.batch_size}")
    epochs, because = _epochs(draft, per_epoch) if train.epochs == "auto" else (train.epochs, "")
    wanted = max(1, round(epochs * per_epoch))
    steps = min(wanted, train.max_steps or wanted)
    reason = f"{epochs:g} {'epoch' if epochs == 1 else 'epochs'} of {per_epoch} steps{because}"
    if steps < wanted:
        reason = f"`max_steps`; {reason} would be {wanted}"
    return why.derive("num_steps", steps, reason), per_epoch


def _epochs(draft: Draft, per_epoch: int) -> tuple[int, str]:
    """How often the rows are passed over where the recipe leaves it open, and why where that is unusual."""
    least = draft.mode.least_steps
    if least is None:
        return _USUAL_EPOCHS, ""
    epochs = min(least.epochs, max(_USUAL_EPOCHS, math.ceil(least.steps / per_epoch)))
    if epochs == _USUAL_EPOCHS:
        return epochs, ""
    return epochs, f": few rows, so up to {least.steps} steps and at most {least.epochs} epochs, since {least.reason}"


def choose_class_weights(draft: Draft, why: Reasons) -> tuple[float, ...]:
    """What the loss of a row is multiplied by, by class."""
    asked, path, rows = draft.recipe.train.class_weights, "class_weights", draft.class_rows
    head = head_card(draft.loaded.head)
    if not (head.labels == "one" and head.is_new):  # rules refuse what the recipe sets beside other heads
        return why.derive(path, (), "rows have no class of their own that a new head chooses")
    if isinstance(asked, dict):
        weights = tuple(asked.get(label, 1.0) for label in draft.labels)
        return why.derive(path, weights, "those of the recipe, 1 for every other class")
    if asked == "none":
        return why.derive(path, (), "none, as the recipe says")
    if asked == "auto":
        even = sum(rows.values()) / max(1, len(rows))
        rarest = min(rows, key=lambda label: (rows[label], label), default="")
        if not rows or rows[rarest] >= _RARE * even:
            return why.derive(path, (), "no class has less than a third of an even share of the training rows")
        reason = f"`balanced_sqrt`: `{rarest}` has {rows[rarest]:,} of {sum(rows.values()):,} training rows"
        return why.derive(path, weights_of(rows, draft.labels, power=0.5), reason)
    power = {"balanced": 1.0, "balanced_sqrt": 0.5}[asked]
    return why.derive(path, weights_of(rows, draft.labels, power=power), f"`{asked}`, from the training rows by class")


def weights_of(rows: Mapping[str, int], labels: tuple[str, ...], *, power: float) -> tuple[float, ...]:
    """A power of each class's inverse share of the rows, with a mean of 1 over the rows; 1 for a class without rows.

    With a power of 1 these are scikit-learn's `balanced` weights.
    """
    raw = {label: count**-power for label, count in rows.items() if count}
    mean = sum(rows[label] * raw[label] for label in raw) / sum(rows[label] for label in raw)
    return tuple(float(f"{raw[label] / mean:.6g}") if label in raw else 1.0 for label in labels)


def narrow_words(draft: Draft) -> str:
    """What trained weights in 16 bits save, and what they cost."""
    asked, width = draft.recipe.train, draft.model.hidden_size
    sizes = []
    for card in (precision_card(draft.train.precision), FIRST_CHOICE):
        state = candidates("auto" if card is FIRST_CHOICE else asked.optimizer.kind, card.kind)[0].state
        kept = state.bytes_per_weight(width=width, momentum=draft.train.optimizer.momentum, share_in_layers=0.0)
        sizes.append(2 * card.trained.size + kept)
    trained = precision_card(draft.train.precision).trained
    return (
        f"weights, gradients and averages in {trained.name} take {sizes[0]:g} bytes a weight in place of {sizes[1]:g}, "
        f"and are rounded to {trained.digits} significant bits"
    )
