"""The training loop's numbers: precision, learning rate, steps, seeds."""

from __future__ import annotations

import hashlib
import math

from ftc.compiler.draft import Draft
from ftc.compiler.search.optimizer_choice import card_of, with_kernel
from ftc.spec.documents.settings import Seeds
from ftc.spec.optimizers import candidates
from ftc.spec.schedules import schedule_card
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card

__all__ = ["choose_training"]

_AS_WRITTEN = (
    *("batch_size", "label_smoothing", "neftune_alpha", "max_grad_norm"),
    *("keep_checkpoints", "early_stopping"),
)


def choose_training(draft: Draft) -> Draft:
    """Settles what is under `train`, `seeds` and `device`, but for the micro-batch and what several devices share."""
    for name in _AS_WRITTEN:
        draft = draft.take(f"train.{name}")
    draft = _choose_precision(_choose_rate(_choose_optimizer(draft)))
    draft = _choose_objective(_choose_selection(_choose_steps(draft)))
    return _choose_device(_choose_seeds(draft))


def _choose_optimizer(draft: Draft) -> Draft:
    asked = draft.recipe.train.optimizer.kind
    card = candidates(asked)[0]
    if asked == "auto":  # until it is known what fits
        draft = draft.derive("train.optimizer.kind", card.kind, f"{card.label} in float32 comes first")
    else:
        draft = draft.take("train.optimizer.kind")
    for name in dict.fromkeys(("beta1", "beta2", "epsilon", "momentum", "weight_decay", *card.reads)):
        path, usual = f"train.optimizer.{name}", card.usual_value(name)
        is_open = draft.source.node(path) is None or getattr(draft.recipe.train.optimizer, name) == "auto"
        if is_open and usual is not None:
            draft = draft.derive(path, usual.value, usual.source)
        else:
            draft = draft.take(path)
    return with_kernel(draft)


def _choose_rate(draft: Draft) -> Draft:
    strategy = draft.recipe.strategy
    if (ratio := strategy.second_rate_ratio()) is not None:
        draft = draft.inherit("train.b_rate_ratio", ratio, "strategy.b_rate_ratio")
    else:
        draft = draft.derive("train.b_rate_ratio", 1.0, "no adapter of low rank")
    if draft.recipe.train.learning_rate != "auto":
        return draft.take("train.learning_rate")
    rate = card_of(draft).rate
    usual, reason = strategy.usual_rate(strategy_card(strategy))
    if rate.reason is not None:
        reason = rate.reason.format(reason)
    return draft.derive("train.learning_rate", rate.beside(usual), reason)


def _choose_precision(draft: Draft) -> Draft:
    on_card = draft.device.kind == "cuda"
    if draft.recipe.train.precision != "auto":
        draft = draft.take("train.precision")
        if draft.recipe.train.precision == "bfloat16" and not draft.device.has_bfloat16:
            speed = "does not have bfloat16" if on_card else "is very slow at bfloat16"
            return draft.find(
                "FTC226",
                f"{draft.device.label} {speed}",
                "train.precision",
                help="write `float32`, or leave `precision` out",
            )
        return draft
    if not on_card:
        return draft.derive("train.precision", "float32", "a CPU is exact and seldom faster in bfloat16")
    if draft.device.has_bfloat16:
        return draft.derive("train.precision", "bfloat16", f"{draft.device.label} is fast at it")
    return draft.derive("train.precision", "float32", f"{draft.device.label} is not fast at bfloat16")


def _choose_steps(draft: Draft) -> Draft:
    train, rows = draft.recipe.train, draft.splits["train"].rows
    per_epoch = math.ceil(rows / train.batch_size)
    wanted = max(1, round(train.epochs * per_epoch))
    steps = min(wanted, train.max_steps or wanted)
    draft = draft.derive("train.steps_per_epoch", per_epoch, f"{rows:,} training rows in batches of {train.batch_size}")
    reason = f"{train.epochs:g} {'epoch' if train.epochs == 1 else 'epochs'} of {per_epoch} steps"
    if steps < wanted:
        reason = f"`max_steps`; {reason} would be {wanted}"
    draft = draft.derive("train.num_steps", steps, reason)
    if train.evaluate_every == "epoch":
        draft = draft.derive("train.evaluate_every_steps", per_epoch, "once an epoch")
    else:
        draft = draft.take("train.evaluate_every_steps", "train.evaluate_every")
    return _choose_schedule(draft, steps)


def _choose_schedule(draft: Draft, steps: int) -> Draft:
    """The warm-up, and the schedule behind it; keys that it doesn't know are left out."""
    schedule = draft.recipe.train.schedule
    ratio: float = schedule.warmup_ratio
    warmup = math.ceil(ratio * steps)
    draft = draft.derive("train.schedule.warmup_steps", warmup, f"{ratio:g} of {steps} steps, rounded up")
    fitting = card_of(draft).schedules
    if fitting is not None and draft.source.node("train.schedule.kind") is None:
        reason = f"{card_of(draft).label} averages weights in place of a schedule"
        draft = draft.derive("train.schedule.kind", fitting[0], reason)
    else:
        draft = draft.take("train.schedule.kind")
    card = schedule_card(draft.values["train.schedule.kind"])
    for share in card.shares:
        ratio = getattr(schedule, share.key)
        reason = share.reason.format(f"{ratio:g} of {steps} steps")
        draft = draft.derive(f"train.schedule.{share.setting}", math.ceil(ratio * steps), reason)
    for key in card.reads:
        if getattr(schedule, key) is None and key in card.usual:
            draft = draft.derive(f"train.schedule.{key}", *card.usual[key](warmup))
        elif getattr(schedule, key) is not None and key not in (share.key for share in card.shares):
            draft = draft.take(f"train.schedule.{key}")
    return draft


def _choose_selection(draft: Draft) -> Draft:
    stopping = draft.recipe.train.early_stopping
    metric = stopping.metric if stopping else "val_loss"
    has_validation = "validation" in draft.splits
    select = "best" if has_validation else "last"
    reason = f"the checkpoint with the best {metric}" if has_validation else "there is no validation split"
    draft = draft.derive("train.select", select, reason)
    draft = draft.derive(
        "train.select_metric", metric, "what early stopping watches" if stopping else "the usual choice"
    )
    higher = metric != "val_loss"
    return draft.derive("train.select_higher", higher, f"{'more' if higher else 'less'} {metric} is better")


def _choose_objective(draft: Draft) -> Draft:
    if form_card(draft.text.form).is_pair:
        return draft.take("train.preference.beta", "task.beta")
    return draft.derive("train.preference", None, "each target has a loss of its own")


def _choose_seeds(draft: Draft) -> Draft:
    root, why = draft.recipe.train.seed, draft.reasons("seeds")

    def stream(name: str, use: str) -> int:
        value = int.from_bytes(hashlib.sha256(f"{root}:{name}".encode()).digest()[:4])
        return why.derive(name, value, f"stream for {use}, from `train.seed` {root}")

    seeds = Seeds(
        init=stream("init", "weights that are new"),
        order=stream("order", "order of rows"),
        dropout=stream("dropout", "dropout"),
    )
    return draft.settle("seeds", seeds, why)


def _choose_device(draft: Draft) -> Draft:
    device = draft.device
    reason = f"{device.label}" if device.local else f"{device.label}, from the catalogue"
    draft = draft.derive("device.name", device.name, reason).derive("device.kind", device.kind, reason)
    if draft.recipe.budget.threads == "auto":
        return draft.derive("device.threads", device.threads, "physical cores that this process may use")
    return draft.take("device.threads", "budget.threads")
