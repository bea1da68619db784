"""The training loop's numbers: precision, learning rate, steps, seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, Literal, cast

from ftc.compiler.draft import Draft, Reasons
from ftc.compiler.expert_choices import check_experts
from ftc.compiler.float8_choices import check_float8, float8_settings
from ftc.compiler.kernel_choices import check_kernels, kernel_settings
from ftc.compiler.masking_choices import masking_settings
from ftc.compiler.parameter_groups import check_groups, group_settings
from ftc.compiler.quantize_choices import check_rounded, quantize_settings
from ftc.compiler.reward_models import reward_model_settings
from ftc.compiler.router_choices import check_router, router_settings
from ftc.compiler.saving_choices import saving_settings
from ftc.compiler.search.candidates import attention_kernels, device_counts, optimizer_kinds
from ftc.compiler.training_defaults import (
    choose_class_weights,
    choose_head_rate,
    choose_rate,
    choose_steps,
    narrow_words,
)
from ftc.compiler.vectors import vector_settings
from ftc.spec.documents.loss_settings import (
    PreferenceSettings,
    RegressionSettings,
    RerankingSettings,
    TargetScale,
)
from ftc.spec.documents.seeds import Seeds
from ftc.spec.documents.settings import (
    DeterminismSettings,
    OpenOptimizer,
    OpenTrain,
    ScheduleSettings,
)
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.metrics import metric_named
from ftc.spec.optimizer_choice import candidates
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.precisions import FIRST_CHOICE, Precision, precision_card, usual_precision
from ftc.spec.rewards import judge_of
from ftc.spec.schedules import schedule_card
from ftc.spec.sections.evaluation import watched_metrics
from ftc.spec.text_forms import form_card

__all__ = ["EXACT", "choose_determinism", "choose_training"]


def choose_training(draft: Draft) -> Draft:
    """Settles what is under `train` and `seeds`, but for what the solver chooses, the teacher and determinism."""
    why, train = draft.reasons("train"), draft.recipe.train
    steps, per_epoch = choose_steps(draft, why)
    rate, (head_rate, head_modules) = choose_rate(draft, why), choose_head_rate(draft, why)
    select, metric = _selection(draft, why)
    higher = metric != "val_loss"
    section = OpenTrain(
        num_steps=steps,
        steps_per_epoch=per_epoch,
        batch_size=why.take("batch_size", train.batch_size),
        batching=why.take("batching", train.batching),
        learning_rate=rate,
        head_learning_rate=head_rate,
        head_modules=head_modules,
        class_weights=choose_class_weights(draft, why),
        b_rate_ratio=(
            why.take("b_rate_ratio", ratio, "strategy.loraplus_lr_ratio")
            if (ratio := draft.recipe.strategy.second_rate_ratio()) is not None
            else why.derive("b_rate_ratio", 1.0, "not a low-rank adapter")
        ),
        schedule=_schedule(draft, why, steps),
        optimizer=_optimizer(draft, why),
        label_smoothing=why.take("label_smoothing", train.label_smoothing),
        focal_gamma=why.take("focal_gamma", train.focal_gamma),
        loss=why.take("loss", train.loss),
        z_loss=why.take("z_loss", train.z_loss),
        neftune_alpha=why.take("neftune_alpha", train.neftune_alpha),
        compile=why.take("compile", train.compile),
        ema_decay=why.take("ema_decay", train.ema_decay),
        average_checkpoints=why.take("average_checkpoints", train.average_checkpoints),
        max_grad_norm=why.take("max_grad_norm", train.max_grad_norm),
        precision=_precision(draft, why),
        evaluate_every_steps=(
            why.derive("evaluate_every_steps", per_epoch, "once an epoch")
            if train.evaluate_every == "epoch"
            else why.take("evaluate_every_steps", train.evaluate_every, "train.evaluate_every")
        ),
        keep_checkpoints=why.take("keep_checkpoints", train.keep_checkpoints),
        early_stopping=why.take("early_stopping", train.early_stopping),
        select=select,
        select_metric=metric,
        select_higher=why.derive("select_higher", higher, f"{'more' if higher else 'less'} {metric} is better"),
        preference=_objective(draft, why),
        **(_numbers(draft, why) | _ranking(draft, why) | _sampling(draft, why) | vector_settings(draft, why)),
        **(masking_settings(draft, why) | router_settings(draft, why) | quantize_settings(draft, why)),
        **float8_settings(draft, why),
        **(group_settings(draft, why, rate) | kernel_settings(draft, why) | saving_settings(draft, why)),
    )
    draft = check_rounded(check_router(_check_average(draft.settle("train", section, why))))
    draft = check_experts(check_kernels(check_groups(check_float8(draft))))
    return _choose_seeds(_check_class_weights(_check_precision(draft)))


def _optimizer(draft: Draft, why: Reasons) -> OpenOptimizer:
    """Its numbers; the kinds among which `auto` chooses have them in common."""
    asked = draft.recipe.train.optimizer
    card = candidates(asked.kind, draft.recipe.train.precision)[0]

    def number(name: str) -> float:
        path, usual = f"optimizer.{name}", card.usual_value(name)
        value: float | str = getattr(asked, name)
        is_open = draft.source.node(f"train.{path}") is None or value == "auto"
        if is_open and usual is not None:
            return why.derive(path, usual.value, usual.source)
        return cast(float, why.take(path, value))

    names = dict.fromkeys(("beta1", "beta2", "epsilon", "momentum", "weight_decay", *card.reads))
    numbers: dict[str, Any] = {name: number(name) for name in names}
    return OpenOptimizer(**numbers)


def _precision(draft: Draft, why: Reasons) -> Precision:
    asked, device = draft.recipe.train.precision, draft.device
    if asked != "auto":
        return why.take("precision", asked)
    card, at_best = usual_precision(device, draft.model.model_type), usual_precision(device)
    if device.kind == "cpu":
        return why.derive("precision", card.kind, f"a CPU is exact, and rarely faster in {FIRST_CHOICE.label}")
    reason = f"{device.label} supports fast {card.products.name}"
    if not FIRST_CHOICE.is_fast_on(device):
        reason = f"{device.label} has no fast {FIRST_CHOICE.products.name}"
        if card.scales_loss:
            reason += f", but {card.products.name}; losses are scaled, since small gradients would become 0"
        elif card is not at_best:
            reason += f", and activations of {draft.model.model_type} overflow {at_best.products.name}"
    return why.derive("precision", card.kind, reason)


def _check_precision(draft: Draft) -> Draft:
    device, card = draft.device, precision_card(draft.train.precision)
    if draft.recipe.train.precision == "auto":
        return draft
    name, path, help = card.fewest_bits, "train.precision", "write `float32`, or remove `precision`"
    if card.trained.size < FIRST_CHOICE.trained.size:
        advice = f"write `{FIRST_CHOICE.kind}` where that fits, or compare the results"
        draft = draft.find("FTC228", narrow_words(draft), path, help=advice)
    if draft.model.model_type in card.overflows:
        summary = f"activations of {draft.model.model_type} models overflow {name}: the run would stop at that step"
        draft = draft.find("FTC289", summary, path, help=help)
    if card.is_fast_on(device):
        return draft
    if device.kind == "cpu":
        return draft.find("FTC288", f"{device.label} is slow at {name}", path, help=help)
    return draft.find("FTC226", f"{device.label} does not have {name}", path, help=help)


def _check_class_weights(draft: Draft) -> Draft:
    """Every class that has a weight is one of the data's."""
    asked, path = draft.recipe.train.class_weights, "train.class_weights"
    unknown = [label for label in asked if label not in draft.labels] if isinstance(asked, dict) else []
    if not unknown:
        return draft
    close = nearest(unknown[0], draft.labels)
    help = f"did you mean `{close}`?" if close else f"the classes are {', '.join(draft.labels[:12])}"
    return draft.find("FTC285", f"no class `{unknown[0]}` among the labels", path, help=help)


def _schedule(draft: Draft, why: Reasons, steps: int) -> ScheduleSettings:
    """The warm-up, and the schedule behind it; keys that it doesn't know are left out."""
    train = draft.recipe.train
    asked, optimizer = train.schedule, candidates(train.optimizer.kind, train.precision)[0]
    if optimizer.schedules is not None and draft.source.node("train.schedule.kind") is None:
        reason = f"{optimizer.label} averages weights instead of a schedule"
        kind = why.derive("schedule.kind", optimizer.schedules[0], reason)
    else:
        kind = why.take("schedule.kind", asked.kind)
    card, known = schedule_card(kind), dict[str, Any]()
    ratio: float = asked.warmup_ratio
    if asked.warmup_steps is not None:
        warmup = why.take("schedule.warmup_steps", min(asked.warmup_steps, steps))
    else:
        reason = f"{ratio:g} of {steps} steps, rounded up"
        warmup = why.derive("schedule.warmup_steps", math.ceil(ratio * steps), reason)
    for share in card.shares:
        ratio = getattr(asked, share.key)
        reason = share.reason.format(f"{ratio:g} of {steps} steps")
        known[share.setting] = why.derive(f"schedule.{share.setting}", math.ceil(ratio * steps), reason)
    for key in card.reads:
        value: object = getattr(asked, key)
        if value is None and key in card.usual:
            known[key] = why.derive(f"schedule.{key}", *card.usual[key](warmup))
        elif value is not None and key not in (share.key for share in card.shares):
            known[key] = why.take(f"schedule.{key}", value)
    return ScheduleSettings(kind=kind, warmup_steps=warmup, **known)


def _check_average(draft: Draft) -> Draft:
    """A mean of several checkpoints needs as many."""
    wanted, written = draft.train.average_checkpoints, draft.train.num_checkpoints
    if wanted is None or wanted <= written:
        return draft
    summary = f"the mean of {wanted} checkpoints is asked for, and the run writes {written}"
    help = f"write at most {written}, or lower `evaluate_every`" if written > 1 else "lower `evaluate_every`"
    return draft.find("FTC229", summary, "train.average_checkpoints", help=help)


def _selection(draft: Draft, why: Reasons) -> tuple[Literal["best", "last"], str]:
    """Which checkpoint becomes the result, and the metric that it goes by."""
    stopping, train = draft.recipe.train.early_stopping, draft.recipe.train
    # The metric that stands for a result before the others: macro F1, to which the largest class alone is worth little.
    cards = [card for name in draft.mode.usual_metrics if (card := metric_named(name))]
    usual = f"val_{min(cards, key=lambda card: card.headline or math.inf).name}"
    if stopping is None and draft.recipe.task.sampling is not None:
        metric = why.derive("select_metric", f"val_{draft.mode.usual_metrics[0]}", "what training makes larger")
    elif stopping:
        metric = why.derive("select_metric", stopping.metric, "the metric of early stopping")
    elif train.epochs == "auto" and head_card(draft.loaded.head).is_new and usual in watched_metrics(draft.recipe.task):
        # The loss of a new head rises with its confidence while its decisions still get better: by the loss, the chosen
        # checkpoint of few rows was one that knew the largest class alone.
        reason = "the task's main metric, since a new head's loss rises with confidence while its decisions improve"
        metric = why.derive("select_metric", usual, reason)
    else:
        metric = why.derive("select_metric", "val_loss", "the default")
    if train.average_checkpoints is not None:
        return why.derive("select", "last", "the mean of the last checkpoints is the result"), metric
    if "validation" in draft.splits:
        return why.derive("select", "best", f"the checkpoint with the best {metric}"), metric
    return why.derive("select", "last", "there is no validation split"), metric


def _objective(draft: Draft, why: Reasons) -> PreferenceSettings | None:
    task = draft.recipe.task
    if (card := task.pair_loss) is None:
        return why.derive("preference", None, "not a preference task")
    known, unused = dict[str, Any](), PreferenceSettings.model_fields
    for name in ("loss", "beta", *card.reads):
        path, value = f"preference.{name}", getattr(task, name)
        if name in card.usual and draft.source.node(f"task.{name}") is None:
            known[name] = why.derive(path, card.usual[name], f"default of {card.label}")
        elif value != unused[name].default:
            known[name] = why.take(path, value, f"task.{name}")
    if card.averages:
        known["per_token"] = why.derive("preference.per_token", True, f"{card.label} is defined per token")
    return PreferenceSettings(**known)


def _numbers(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How numbers are learned; nothing for a task without."""
    task = draft.recipe.task
    if task.number_loss is None:
        return {}
    loss = why.take("regression.loss", task.number_loss.kind, "task.loss")
    if task.number_loss.takes == "ratings":
        plain = tuple(TargetScale(mean=0, spread=1) for _ in draft.labels)
        scales = why.derive("regression.scales", plain, "a rating is 0 or 1, and the score its log odds")
    elif getattr(task, "normalize") == "standard":  # noqa: B009 - tasks of numbers have it
        reason = "mean and standard deviation of the training rows' targets"
        scales = why.derive("regression.scales", draft.scales, reason)
    else:
        plain = tuple(TargetScale(mean=0, spread=1) for _ in draft.labels)
        scales = why.derive("regression.scales", plain, "`normalize: none`: numbers as they are")
    return {"regression": RegressionSettings(loss=loss, scales=scales)}


def _ranking(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How the texts of a query are compared; nothing for a task without."""
    if (card := draft.recipe.task.ranking_loss) is None:
        return {}
    return {"reranking": RerankingSettings(loss=why.take("reranking.loss", card.kind, "task.loss"))}


def _sampling(draft: Draft, why: Reasons) -> dict[str, Any]:
    """How answers are sampled and rewarded; nothing for a task that learns from rows."""
    if (asked := draft.recipe.task.sampling) is None:
        return {}
    for name in asked.model_dump():
        why.take(f"sampling.{name}", getattr(asked, name), f"task.{name}")
    if (known := reward_model_settings(draft, "reward_model")) is not None:
        why.derive("sampling.reward_model", known, "files of the reward model, and its text around the answers")
        asked = asked.model_copy(update={"reward_model": known})
    return {"sampling": asked}


def _choose_seeds(draft: Draft) -> Draft:
    root, why = draft.recipe.train.seed, draft.reasons("seeds")

    def stream(name: str, use: str) -> int:
        value = int.from_bytes(hashlib.sha256(f"{root}:{name}".encode()).digest()[:4])
        return why.derive(name, value, f"random seed for {use}, from `train.seed` {root}")

    seeds = Seeds(
        init=stream("init", "new weights"),
        order=stream("order", "order of rows"),
        dropout=stream("dropout", "dropout"),
        **({"masking": stream("masking", "masked tokens")} if form_card(draft.shape.form).redraws else {}),
        **({"sampling": stream("sampling", "sampled answers")} if draft.recipe.writing else {}),
    )
    return draft.settle("seeds", seeds, why)


EXACT = {
    "cpu": {
        "attention": frozenset({"eager", "sdpa"}),
        "optimizer": frozenset(card.kind for card in OPTIMIZERS if "cpu" in card.exact_on),
        "quantization": frozenset({"none", "nf4", "fp4"}),
    },
    "cuda": {
        "attention": frozenset({"eager", "sdpa"}),
        "optimizer": frozenset(card.kind for card in OPTIMIZERS if "cuda" in card.exact_on),
        "quantization": frozenset({"none"}),
    },
}
"""What is known to give the same bits in every process, by kind of device. For `cpu` it is what the tests run in two
fresh processes. For `cuda` it is what torch documents as deterministic in its deterministic mode, and each run proves
it again; 4-bit kernels and flash attention promise nothing there."""

_DEVICES = {"cpu": "CPU", "cuda": "GPU"}
_MOST_PROOF_STEPS = 8
_PROOF_SHARE = 20
"""A proof does a twentieth of the run's steps, twice: a tenth of its time, and less for all but the shortest runs."""


def choose_determinism(draft: Draft) -> Draft:
    """Settles `train.determinism`; at `bitwise` everything outside the table is an error."""
    asked, path = draft.recipe.train.determinism, "train.determinism"
    if asked in ("off", "auto"):
        kernels: Literal["any", "deterministic"] = "any" if asked == "off" else "deterministic"
        return _settled(draft, DeterminismSettings(asked=asked, kernels=kernels, proof_steps=0))
    if unknown := list(_unknown(draft)):
        known = EXACT[draft.device.kind]
        help = (
            f"known to be deterministic on a {draft.device.kind}: "
            + "; ".join(f"{name} {', '.join(sorted(known[name]))}" for name in known),
            "or use `determinism: auto`",
        )
        code = "FTC640" if asked == "bitwise" else "FTC643"
        summary = f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not known to be deterministic"
        notes = "" if asked == "bitwise" else "the run continues with deterministic kernels, without the check"
        draft = draft.find(code, summary, path, help=help, notes=notes or ())
        return _settled(draft, DeterminismSettings(asked=asked, kernels="deterministic", proof_steps=0))
    steps = draft.train.num_steps
    proof = min(steps, _MOST_PROOF_STEPS, max(2, steps // _PROOF_SHARE))
    return _settled(draft, DeterminismSettings(asked=asked, kernels="exact", proof_steps=proof))


def _settled(draft: Draft, section: DeterminismSettings) -> Draft:
    why = draft.reasons("train")
    return draft.settle("determinism", why.take("determinism", section), why)


def _unknown(draft: Draft) -> Iterator[str]:
    """What stands in no table, in words; of what is open, the solver takes nothing that can't be proven."""
    known = EXACT[draft.device.kind]
    used = {
        "attention": attention_kernels(draft)[0],
        "optimizer": optimizer_kinds(draft)[0],
        "quantization": quantized.type if (quantized := draft.strategy.traits.quantized) else "none",
    }
    for name, value in used.items():
        if value not in known[name]:
            yield f"{name} `{value}` on a {_DEVICES[draft.device.kind]}"
    if draft.model.experts is not None and draft.device.kind == "cuda":
        yield "grouped products of experts on a GPU"
    packed = draft.distillation.quantization if draft.distillation else None
    if packed is not None and packed not in known["quantization"]:
        yield f"quantization `{packed}` of the teacher on a {_DEVICES[draft.device.kind]}"
    sampling = draft.recipe.task.sampling
    if sampling is not None and judge_of(sampling.rewards) is not None:
        yield "the judge of a reward"
    if (processes := device_counts(draft)[0]) > 1:
        yield f"training in {processes} processes"
