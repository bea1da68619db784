"""Training settings that several tools have in common, since they hand them to the same trainer underneath."""

from __future__ import annotations

from dataclasses import dataclass

from ftc.compiler.importers import words
from ftc.compiler.importers.translation import Key, Translation, key_of
from ftc.spec.metrics import METRIC_BY_NAME, metric_called
from ftc.spec.optimizer_choice import candidates
from ftc.spec.precisions import FIRST_CHOICE, PRECISIONS
from ftc.spec.schedules import schedule_card
from ftc.spec.strategies import STRATEGIES

__all__ = [
    "TrainerKeys",
    "batch",
    "checkpointing",
    "compiling",
    "early_stopping",
    "evaluation",
    "fused_kernels",
    "length_grouped",
    "narrow_weights",
    "optimizer",
    "packing",
    "saving_beside",
    "schedule",
    "steps",
    "trained",
    "warmup",
    "watched",
]

_AFTER_PLAN = "`ftc plan` shows the number of steps; then set it by hand"


@dataclass(frozen=True, slots=True)
class TrainerKeys:
    """Names of the keys of transformers' trainer, and what the tool takes where they are absent.

    Attributes:
        prefix: Stands before each name.
        is_checkpointed: Whether activations are recomputed by default; None where another key tells.
        precision: The default arithmetic; None where the plan chooses.
        usual_schedule: What the tool calls its default schedule.
        warmup: The default share of steps.
    """

    prefix: str = ""
    max_steps: str = "max_steps"
    micro: str = "per_device_train_batch_size"
    accumulation: str = "gradient_accumulation_steps"
    micro_rows: int = 8
    schedule: str = "lr_scheduler_type"
    usual_schedule: str = "linear"
    warmup: float = 0.0
    optimizer: str = "optim"
    checkpointing: str = "gradient_checkpointing"
    compiling: str = "torch_compile"
    is_checkpointed: bool | None = False
    bits: tuple[str, str] | None = ("bf16", "fp16")
    precision: str | None = None
    saving: str = "save_strategy"


def trained(t: Translation, keys: TrainerKeys) -> None:
    """Steps, batch, rate, optimizer, arithmetic and evaluations, as transformers' trainer takes them."""

    def at(name: str) -> str:
        return f"{keys.prefix}{name}"

    steps(t, at(keys.max_steps))
    batch(t, at(keys.micro), at(keys.accumulation), default_micro=keys.micro_rows)
    word = schedule(t, at(keys.schedule), keys.usual_schedule) or keys.usual_schedule
    warmup(t, at("warmup_ratio"), at("warmup_steps"), word, default=keys.warmup)
    optimizer(t, at(keys.optimizer))
    if keys.bits:
        precision(t, at(keys.bits[0]), at(keys.bits[1]), default=keys.precision)
    checkpointing(t, at(keys.checkpointing), default=keys.is_checkpointed)
    compiling(t, at(keys.compiling))
    evaluation(t, at("eval_strategy"), at("eval_steps"), at(keys.saving), at("save_steps"))


def batch(t: Translation, micro: str, accumulation: str, *, default_micro: int = 1) -> None:
    """The rows of one optimizer step: micro-batch times accumulation."""
    rows, times = t.whole(micro), t.whole(accumulation)
    if (rows or 1) < 1 or (times or 1) < 1:
        for key in (micro, accumulation):
            t.drop(key, "a batch has at least one row")
        return
    rows, times = rows or default_micro, times or 1
    keys: list[str | Key] = [key for key in (micro, accumulation) if t.has(key)]
    if not keys:
        t.add("train.batch_size", rows, f"{t.tool}'s default")
        return
    reason = f"{rows} × {times} on each device; multiply by their number"
    t.carry(keys, "train.batch_size", rows * times, reason)
    if t.has(micro):
        t.carry(micro, "train.micro_batch", rows)


def steps(t: Translation, key: str) -> None:
    """A limit on the steps; zero and -1 mean none."""
    most = t.whole(key)
    if most is not None and most > 0:
        t.carry(key, "train.max_steps", most)
    else:
        t.needless(key, "no limit, as in ftc")


def schedule(t: Translation, key: str, usual: str = "linear") -> str | None:
    """The shape of the learning rate, `usual` where it can't be said; gives the other tool's own word."""
    word = t.text(key)
    kind = words.SCHEDULES.get(word.lower()) if word else None
    if kind:
        t.carry(key, "train.schedule.kind", kind, schedule_card(kind).differs)
        _arguments(t, f"{key.removesuffix('_type')}_kwargs", kind)
        for name, (value, reason) in words.SCHEDULE_VALUES[kind].items():
            t.add(f"train.schedule.{name}", value, reason)
    elif word:
        help = f"ftc has {', '.join(words.SCHEDULE_KINDS)}; the default, {usual}, is used instead"
        t.drop(key, f"the schedule `{word[:40]}` is not supported", help)
    return word.lower() if word else None


def _arguments(t: Translation, key: str, kind: str) -> None:
    """A schedule's further arguments, as far as a recipe has them; steps become a share where `max_steps` is known."""
    card, most = schedule_card(kind), t.values.get("train.max_steps")
    shares = {share.setting: share.key for share in card.shares}
    for argument, name in card.arguments.items():
        place = (*key_of(key), argument)
        value = t.number(place)
        if value is not None and name not in shares:
            t.carry(place, f"train.schedule.{name}", value)
        elif value is not None and most:
            reason = f"{value:g} of {most.value} steps"
            t.carry([place, *most.keys], f"train.schedule.{shares[name]}", round(value / most.value, 6), reason)


def warmup(t: Translation, ratio_key: str, steps_key: str, word: str | None, *, default: float = 0.0) -> None:
    """The warm-up as a share of the steps; in the other tools' trainer, steps win over a share."""
    if word in words.WITHOUT_WARMUP and "train.schedule.kind" in t.values:
        evidence = f"the schedule `{word}` has no warm-up"
        for key in (ratio_key, steps_key):
            t.ignore(key, evidence, f"write `{word}_with_warmup` to have one")
        t.add("train.schedule.warmup_ratio", 0, evidence)
        return
    count, ratio = t.number(steps_key), t.number(ratio_key)
    if count and ratio:
        t.conflict(ratio_key, f"`{steps_key}` is set in the same file", "keep one of the two")
        ratio = None
    if count:
        if 0 < count < 1:
            t.carry(steps_key, "train.schedule.warmup_ratio", count)
        elif count == int(count):
            t.carry(steps_key, "train.schedule.warmup_steps", int(count))
        else:
            t.drop(steps_key, f"{count:g} steps is not a whole number", "ftc's 0.05 is used instead")
    elif ratio is not None or count is not None:
        t.carry(ratio_key if ratio is not None else steps_key, "train.schedule.warmup_ratio", ratio or 0)
        t.needless(steps_key, "none")
    else:
        t.add("train.schedule.warmup_ratio", default, f"{t.tool}'s default")


def optimizer(t: Translation, key: str) -> None:
    """The optimizer, in any spelling of transformers' trainer or by the path of its class."""
    said = t.text(key) or ""
    word = said.lower().removeprefix("optimizernames.")
    kind = words.OPTIMIZERS.get(word) or words.COMPONENTS.get(said)
    if kind:
        t.carry(key, "train.optimizer.kind", kind)
        for path, (value, reason) in words.OPTIMIZER_VALUES.get(kind, {}).items():
            t.add(f"train.optimizer.{path}", value, reason)
    elif said:
        shown = said[:60] if "." in said else word[:40]
        t.drop(
            key,
            f"the optimizer {shown} is not supported",
            "AdamW is used instead; check its learning rate",
        )


def precision(t: Translation, bf16: str, fp16: str, *, default: str | None = None) -> None:
    """Arithmetic: one of the 16-bit types, what the device is fast at, or neither."""
    if _is_auto(t, bf16):
        t.carry(bf16, "train.precision", "auto")
    elif t.text(bf16) == "full":  # Axolotl's word for bfloat16 without autocast
        narrow_weights(t, bf16)
    elif t.flag(bf16):
        t.carry(bf16, "train.precision", "bfloat16")
    elif t.flag(fp16):
        t.carry([bf16, fp16] if t.has(bf16) else fp16, "train.precision", "float16")
    elif t.has(bf16):
        t.carry([bf16, fp16] if t.has(fp16) else bf16, "train.precision", "float32", "neither of the 16-bit types")
    elif default:
        t.add("train.precision", default, f"{t.tool}'s default")
    if t.flag(fp16) and t.has(bf16) and (t.flag(bf16) or _is_auto(t, bf16)):
        t.drop(fp16, f"`{bf16}` asks for another type", "`train.precision` is what the run computes in")
    for key in (bf16, fp16):
        t.needless(key, "off, as in ftc")


def narrow_weights(t: Translation, key: str | Key) -> None:
    """Weights that another tool trains in bfloat16, with the optimizer that keeps what rounding takes of updates.

    An adapter's, and those of optimizers that would lose small updates, stay in float32.
    """
    pure = next(one for one in PRECISIONS if one.trained.size < FIRST_CHOICE.trained.size)
    usual, keeping = (candidates("auto", one.kind)[0] for one in (FIRST_CHOICE, pure))
    strategy, optimizer = t.values.get("strategy.kind"), t.values.get("train.optimizer.kind")
    if strategy is None or not next(one for one in STRATEGIES if one.kind == strategy.value).is_whole:
        t.carry(key, "train.precision", FIRST_CHOICE.kind, "an adapter is trained in float32")
        return
    if optimizer is not None and optimizer.value not in (usual.kind, keeping.kind):
        reason = f"trained weights stay in float32: in {pure.trained.name}, `{optimizer.value}` loses small updates"
        t.carry(key, "train.precision", FIRST_CHOICE.kind, reason)
        return
    t.carry(key, "train.precision", pure.kind, f"{keeping.label} keeps what rounding takes of updates")
    if optimizer is not None:
        t.carry(list(optimizer.keys), "train.optimizer.kind", keeping.kind, f"the one for {pure.trained.name} weights")


def checkpointing(t: Translation, key: str, *, default: bool | None = False) -> None:
    """Whether activations are computed again in the backward pass."""
    value = t.value(key)
    if isinstance(value, str) and value.lower() not in ("true", "false"):
        t.carry(key, "train.activation_checkpointing", True, f"`{value[:20]}` is not, activations stay on the device")
    elif value is not None:
        t.carry(key, "train.activation_checkpointing", t.flag(key))
    elif default is not None:
        t.add("train.activation_checkpointing", default, f"{t.tool}'s default")


def compiling(t: Translation, key: str) -> None:
    """Whether the model is compiled; elsewhere as a whole, or layer by layer as here."""
    if t.flag(key):
        t.carry(key, "train.compile", True, "each layer, where it trains")
    else:
        t.needless(key, "off, as in ftc")


def saving_beside(t: Translation, key: str) -> None:
    """Whether checkpoints are written while training goes on."""
    if t.flag(key):
        t.carry(key, "train.save_in_background", True)
    else:
        t.needless(key, "ftc decides by the checkpoint's size and by host RAM")


def fused_kernels(t: Translation, key: str | Key) -> None:
    """Whether liger-kernel computes parts of layers; here one value for all parts, and its loss isn't needed."""
    if t.flag(key):
        t.carry(key, "train.kernels", "liger", "where one GPU trains; the loss is ftc's own, in chunks")
    else:
        t.needless(key, "changes speed and memory, not the result")


def packing(t: Translation, key: str | Key) -> None:
    """Several rows in one sequence. Elsewhere a step counts the packed sequences, here the rows in them."""
    if t.flag(key):
        t.carry(
            key,
            "train.packing",
            True,
            "a step has the same number of rows as without packing; the other tool counts packs",
        )
    else:
        t.carry(key, "train.packing", False)


def length_grouped(t: Translation, key: str | Key) -> None:
    """Rows of like length in one step."""
    if t.flag(key):
        t.carry(key, "train.batching", "length_grouped")
    else:
        t.needless(key, "off, as in ftc")


def evaluation(t: Translation, strategy: str, every: str, save_strategy: str, save_every: str) -> None:
    """How often validation is looked at; a checkpoint is written each time, so that one number serves both."""
    when = _when(t, strategy)
    looks = t.number(every)
    if when == "epoch":
        t.carry(strategy, "train.evaluate_every", "epoch")
        t.needless(every, "once an epoch")
    elif looks and looks >= 1 and when in ("steps", None):
        t.carry([strategy, every] if t.has(strategy) else every, "train.evaluate_every", int(looks))
    elif looks:
        t.drop(every, "a share of the steps, or not used", _AFTER_PLAN)
    _saving(t, save_strategy, save_every)
    for key in (strategy, save_strategy):
        t.needless(key, "follows from the split")


def _saving(t: Translation, strategy: str, every: str) -> None:
    """Checkpoints; they are written when validation is looked at, and where it is not, as often as they were."""
    when, count = _when(t, strategy), t.number(every)
    known = t.values.get("train.evaluate_every")
    reason = "a checkpoint is written at each evaluation"
    if known is None and when == "epoch":
        t.carry(strategy, "train.evaluate_every", "epoch", reason)
    elif known is None and count and count >= 1 and when in ("steps", None):
        t.carry(every, "train.evaluate_every", int(count), reason)
    elif count and known is not None and known.value == int(count):
        t.carry([*known.keys, every], "train.evaluate_every", known.value)
    elif not count or when == "no":
        t.needless(every, "off")
    else:
        t.drop(every, reason, "set `train.evaluate_every` if that is too rare")


def watched(t: Translation, key: Key) -> None:
    """The metric of validation that early stopping goes by; the best checkpoint is chosen by it as well."""
    word = (t.text(key) or "").removeprefix("eval_")
    if word in ("loss", ""):
        t.needless(key, "the loss, as in ftc")
    elif "train.early_stopping.patience" in t.values:
        t.carry(key, "train.early_stopping.metric", f"val_{metric_called(word, METRIC_BY_NAME) or word}")
    else:
        t.drop(key, "early stopping does not use it", "set `train.early_stopping`, which names the metric")


def early_stopping(t: Translation, patience: str, *, has_validation: bool) -> None:
    """Stop when validation no longer gets better."""
    count = t.whole(patience)
    if not count:
        t.needless(patience, "off, as in ftc")
    elif has_validation:
        t.carry(patience, "train.early_stopping.patience", count)
    else:
        t.conflict(patience, "there is no validation split", "set a validation share, then set it by hand")


def _is_auto(t: Translation, key: str) -> bool:
    value = t.value(key)
    return isinstance(value, str) and value.lower() == "auto"


def _when(t: Translation, key: str) -> str | None:
    """`no`, `steps` or `epoch`; YAML 1.1 reads `no` as false."""
    value = t.value(key)
    return "no" if value is False else value if isinstance(value, str) else None
