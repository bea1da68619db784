"""Rules about how a recipe trains: strategy, optimizer, schedule, teacher, and several devices.

Pure functions over the recipe alone, in the form of `ftc.compiler.rules.recipe_rules`, which runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ftc.compiler.rules.number_rules import value_at
from ftc.spec.checkpointing import checkpointing_card
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.divergences import DIVERGENCES, DivergenceCard, divergence_card
from ftc.spec.embedding_losses import EMBEDDING_LOSSES, EmbeddingLossCard
from ftc.spec.heads import head_card
from ftc.spec.language.source import Source
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizer_choice import candidates
from ftc.spec.optimizers import OPTIMIZERS, optimizer_card
from ftc.spec.precisions import FIRST_CHOICE, asks_float8, trained_type, with_trained
from ftc.spec.preference_losses import PREFERENCE_LOSSES, PreferenceLossCard
from ftc.spec.quantized_weights import quantized_weights
from ftc.spec.schedules import SCHEDULES, ScheduleCard, schedule_card
from ftc.spec.sections.recipe import Recipe
from ftc.spec.shardings import SHARDINGS, UNDIVIDED, Group, sharding_card
from ftc.spec.strategies import STRATEGIES, strategy_card

__all__ = [
    "OPTIMIZER_RULES",
    "WHOLE",
    "head_rate_has_a_head",
    "link_has_machines",
    "losses_have_targets",
    "schedule_has_something_to_watch",
    "sharding_can_be_done",
    "sharding_has_devices",
    "strategy_agrees_with_itself",
    "teacher_can_teach",
    "unsharded",
    "warm_up_is_said_once",
]


_Cards = tuple[OptimizerCard | ScheduleCard | PreferenceLossCard | EmbeddingLossCard | DivergenceCard, ...]


def optimizer_values_count(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each value of the optimizer, the schedule and the loss of pairs, vectors or a teacher is one that it knows."""
    optimizer, schedule = recipe.train.optimizer.kind, recipe.train.schedule.kind
    sections: dict[str, tuple[str, tuple[str, ...], _Cards]] = {
        "train.optimizer": (optimizer, candidates(optimizer, recipe.train.precision)[0].reads, OPTIMIZERS),
        "train.schedule": (schedule, schedule_card(schedule).reads, SCHEDULES),
    }
    if (loss := recipe.task.pair_loss) is not None:
        sections["task"] = (loss.kind, loss.reads, PREFERENCE_LOSSES)
    if (of_vectors := recipe.task.vector_loss) is not None:
        sections["task"] = (of_vectors.kind, of_vectors.reads, EMBEDDING_LOSSES)
    if (lesson := recipe.train.distillation) is not None:
        sections["train.distillation"] = (lesson.loss, divergence_card(lesson.loss).reads, DIVERGENCES)
    for section, (kind, known, cards) in sections.items():
        for name in dict.fromkeys(name for card in cards for name in card.reads):
            path = f"{section}.{name}"
            if name not in known and source.node(path) is not None:
                help = f"remove it{', or keep ' + ' and '.join(f'`{one}`' for one in known) if known else ''}"
                yield diagnostic(
                    "FTC230", f"`{name}` has no effect on `{kind}`", source.span(path), help=help, path=path
                )


def optimizer_goes_with_the_schedule(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """An optimizer that averages weights in place of a schedule has none beside it, and no other average."""
    kind = recipe.train.schedule.kind
    for card in candidates(recipe.train.optimizer.kind, recipe.train.precision):
        path = "train.schedule.kind"
        if card.schedules is not None and kind not in card.schedules and source.node(path) is not None:
            summary = f"`{kind}` can't be used with `{card.kind}`, which averages weights instead of a schedule"
            help = f"remove it, or write `{card.schedules[0]}`"
            yield diagnostic("FTC277", summary, source.span(path), help=help, path=path)
        for name in _averages(recipe) if card.schedules is not None else ():
            path, help = f"train.{name}", "keep one of the two"
            summary = f"`{name}` can't be used with `{card.kind}`, which averages weights itself"
            yield diagnostic("FTC277", summary, source.span(path), help=help, path=path)


def _averages(recipe: Recipe) -> list[str]:
    """Keys by which a recipe asks for an average of the weights."""
    return [name for name in ("ema_decay", "average_checkpoints") if getattr(recipe.train, name) is not None]


def one_average_of_the_weights(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The last checkpoints of a run are known before it, and one average of the weights is the result."""
    path, train = "train.average_checkpoints", recipe.train
    if train.average_checkpoints is None:
        return
    summary, help = "", "keep one of the two"
    if train.ema_decay is not None:
        summary = "`average_checkpoints` and `ema_decay` can't be used together: each average is the result"
    elif train.early_stopping is not None:
        summary = "`average_checkpoints` takes the last checkpoints of the whole run, and `early_stopping` may end it"
    if summary:
        yield diagnostic("FTC229", summary, source.span(path), help=help, path=path)


def narrow_weights_can_be_trained(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The optimizer is made for weights of the type in which they are trained; adapters take no fewer bits."""
    asked, kind, wide = recipe.train.precision, recipe.train.optimizer.kind, FIRST_CHOICE.trained
    trained = trained_type(asked)
    if (trained.size < wide.size or asks_float8(asked)) and not strategy_card(recipe.strategy).is_whole:
        path, other = "train.precision", with_trained(wide, asked).kind
        summary = (
            f"`{asked}` is for strategies that train the model's own weights, and `{recipe.strategy.kind}` adds some"
        )
        yield diagnostic("FTC298", summary, source.span(path), help=f"write `{other}`, or train `full`", path=path)
    if kind == "auto" or (needed := optimizer_card(kind).weights) == trained:
        return
    path, other = "train.optimizer.kind", with_trained(needed, asked).kind
    summary = f"`{kind}` is for {needed.name} weights, but `precision: {asked}` trains weights in {trained.name}"
    help = f"remove `kind`, or write `precision: {other}`"
    yield diagnostic("FTC299", summary, source.span(path), help=help, path=path)


def rounded_weights_are_trained(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """What quantization-aware training rounds are float32 weights, or their sum with an adapter that has no more to it
    than that; in groups where the kind of weights has any.
    """
    asked, path = recipe.train.quantize_aware, "train.quantize_aware"
    if asked is None:
        return
    card = strategy_card(recipe.strategy)
    if card.rounds is None:
        able = " or ".join(f"`{one.kind}`" for one in STRATEGIES if one.rounds is not None)
        summary = f"`quantize_aware` rounds no weights beside `{card.kind}`"
        notes = "what an adapter changes has to be added to the weights in each pass, before they are rounded"
        help = f"choose a strategy of kind {able}, or remove it"
        yield diagnostic("FTC257", summary, source.span(path), help=help, notes=notes, path=path)
    for key in card.rounds or ():
        if getattr(recipe.strategy, key) != type(recipe.strategy).model_fields[key].default:
            summary = f"`quantize_aware` rounds the sum of weights and adapter, in which `{key}` has no part"
            yield diagnostic(
                "FTC257", summary, source.span(f"strategy.{key}"), help="remove it", path=f"strategy.{key}"
            )
    precision = recipe.train.precision
    if asks_float8(precision) or trained_type(precision).size < FIRST_CHOICE.trained.size:
        summary = f"`{precision}` rounds weights by itself, so that they would be rounded twice"
        help = f"write `precision: {with_trained(FIRST_CHOICE.trained, precision).kind}`"
        yield diagnostic("FTC257", summary, source.span(path), help=help, path=path)
    if quantized_weights(asked.weights).group_size is None and asked.group_size != "auto":
        path = f"{path}.group_size"
        summary = f"`{asked.weights}` weights have a scale for each row, and no groups"
        help = "remove `group_size`, or write `weights: int4`"
        yield diagnostic("FTC257", summary, source.span(path), help=help, path=path)


def decay_is_felt(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """An average that decays by less than rounding takes does not decay at all."""
    asked = recipe.train.optimizer
    for card in candidates(asked.kind, recipe.train.precision):
        step = 2.0**-card.weights.digits
        for name in ("beta1", "beta2"):
            value, path = getattr(asked, name), f"train.optimizer.{name}"
            if card.state.bits == 8 * card.weights.size < 32 and source.node(path) and 1 - value < step:
                summary = (
                    f"an average of {card.weights.name} numbers does not decay by {value:g}: the step is rounded away"
                )
                help = f"write at most {1 - step:.3f}, or remove it"
                yield diagnostic("FTC227", summary, source.span(path), help=help, path=path)
        for name in _averages(recipe) if card.weights.size < FIRST_CHOICE.trained.size else ():
            path, severity = f"train.{name}", Severity.ERROR
            summary = f"an average of {card.weights.name} weights hardly moves: its steps are rounded away"
            yield diagnostic("FTC227", summary, source.span(path), help="remove it", path=path, severity=severity)


OPTIMIZER_RULES = (
    one_average_of_the_weights,
    narrow_weights_can_be_trained,
    rounded_weights_are_trained,
    optimizer_goes_with_the_schedule,
    optimizer_values_count,
    decay_is_felt,
)


def warm_up_is_said_once(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The warm-up is a share of the steps or a number of them."""
    path = "train.schedule.warmup_ratio"
    if recipe.train.schedule.warmup_steps is not None and source.node(path) is not None:
        summary, help = "`warmup_ratio` has no effect together with `warmup_steps`", "keep one of the two"
        yield diagnostic("FTC230", summary, source.span(path), help=help, path=path)


def schedule_has_something_to_watch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A rate that follows validation needs a validation split."""
    kind = recipe.train.schedule.kind
    if schedule_card(kind).watches_validation and recipe.data.split.validation == 0:
        path, help = "train.schedule.kind", "set `validation: 0.1` in `data.split`, or choose `cosine`"
        yield diagnostic("FTC204", f"`{kind}` needs validation data", source.span(path), help=help, path=path)


def strategy_agrees_with_itself(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Values of the strategy that exclude each other, or have no effect."""
    for one in recipe.strategy.conflicts():
        path = f"strategy.{one.key}"
        yield diagnostic(one.code, one.summary, source.span(path), help=one.help, path=path)
    obstacle = strategy_card(recipe.strategy).no_recomputing
    asked = recipe.train.activation_checkpointing
    if obstacle is not None and asked != "auto" and checkpointing_card(asked).recomputes:
        path = "train.activation_checkpointing"
        yield diagnostic("FTC270", obstacle.reason, source.span(path), help=obstacle.help, path=path)


def teacher_can_teach(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A teacher needs targets with a choice, and values beside it have something to act on."""
    asked = recipe.train.distillation
    if asked is None:
        return
    if (summary := recipe.task.CARD.teacher_obstacle) is not None:
        span = source.key_span("train.distillation")
        yield diagnostic("FTC280", summary, span, help="remove `distillation`", path="train.distillation")
    if asked.on_policy is not None and asked.seq_kd is not None:
        path, summary = "train.distillation.seq_kd", "a step trains on answers of the model or of its teacher, not both"
        yield diagnostic("FTC446", summary, source.key_span(path), help="remove `seq_kd` or `on_policy`", path=path)
    if asked.weight == 0 and asked.seq_kd is None:
        path, help = "train.distillation.weight", "write a larger `weight`, or have it write answers with `seq_kd: {}`"
        summary = "with `weight: 0` nothing is learned from the teacher"
        yield diagnostic("FTC230", summary, source.span(path), help=help, path=path, severity=Severity.ERROR)
    if asked.weight == 1 and recipe.train.label_smoothing > 0:
        path, help = "train.label_smoothing", "remove it, or lower `distillation.weight`"
        summary = "`label_smoothing` has no effect: with `weight: 1` only the teacher's loss counts"
        yield diagnostic("FTC230", summary, source.span(path), help=help, path=path)


class _Whole(NamedTuple):
    """What torch's `fully_shard` can't divide, and what to choose instead."""

    path: str
    values: tuple[str, ...] | None
    """None for whatever the recipe has there."""
    reason: str
    help: str

    def is_asked(self, recipe: Recipe) -> bool:
        """Whether a recipe has it."""
        value = value_at(recipe, self.path)
        return bool(value) if self.values is None else value in self.values

    def word(self, recipe: Recipe) -> str:
        """What the recipe calls it: its value, or its key."""
        return self.path.rpartition(".")[2] if self.values is None else str(value_at(recipe, self.path))


_ALL_WHOLE = f"`sharding: {UNDIVIDED.kind}`"

WHOLE: tuple[_Whole, ...] = (
    *(
        _Whole("strategy.kind", (card.kind,), card.no_sharding.reason, f"{card.no_sharding.help}, or {_ALL_WHOLE}")
        for card in STRATEGIES
        if card.no_sharding is not None
    ),
    *(
        _Whole("train.optimizer.kind", (card.kind,), card.whole_tensors, f"choose `adamw`, or {_ALL_WHOLE}")
        for card in OPTIMIZERS
        if card.whole_tensors is not None
    ),
    _Whole(
        "strategy.target_parameters",
        None,
        "peft adds an adapter to all experts of a layer as one whole tensor",
        f"remove `target_parameters`, or write {_ALL_WHOLE}",
    ),
)
"""The one table of what goes with a whole model alone."""


def unsharded(recipe: Recipe) -> Iterator[_Whole]:
    """What of a recipe can't be divided."""
    return (one for one in WHOLE if one.is_asked(recipe))


_ALONE: Mapping[Group, tuple[str, str]] = {
    "run": ("devices", "write `budget: {devices: 2}` or more, or `devices: auto`, or remove `sharding`"),
    "machine": ("devices in each machine", "write `budget: {devices: 2}` or more, or remove `sharding`"),
    "machines": ("machines", "write `budget: {nodes: 2}` or more, or remove `sharding`"),
}
"""What a sharding lacks where a group of its exchanges is one process alone, and what to do."""


def sharding_has_devices(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """There are several devices where something is to be shared, and a divided model where parts are to be moved."""
    train, devices, nodes = recipe.train, recipe.budget.devices, recipe.budget.nodes
    card = None if train.sharding == "auto" else sharding_card(train.sharding)
    each = 2 if devices == "auto" else devices  # as many as it takes
    alone = None if card is None else card.lacks_partners(each * nodes, nodes)
    if alone is not None:
        where, help = _ALONE[alone]
        yield diagnostic(
            "FTC290",
            f"`{train.sharding}` needs several {where}, and there is only one",
            source.span("train.sharding"),
            help=help,
            path="train.sharding",
        )
    elif train.offload == "cpu" and (card is None or not card.is_divided):
        able = [f"`{card.kind}`" for card in SHARDINGS if "cpu" in card.places]
        yield diagnostic(
            "FTC290",
            f"only {' or '.join(able)} can keep its shards in host RAM",
            source.span("train.offload"),
            help=f"write `sharding: {SHARDINGS[-1].kind}` and `budget: {{devices: 2}}` or more, or remove `offload`",
            path="train.offload",
        )


def sharding_can_be_done(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """What is to be divided can be."""
    asked = recipe.train.sharding
    if asked == "auto" or not sharding_card(asked).is_divided:
        return
    for whole in unsharded(recipe):
        yield diagnostic(
            "FTC291",
            f"`{asked}` does not support what `{whole.word(recipe)}` needs",
            source.span("train.sharding"),
            help=whole.help,
            notes=whole.reason,
            path="train.sharding",
        )


def link_has_machines(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The speed of a network between machines is of use where there are several."""
    if recipe.budget.link is not None and recipe.budget.nodes == 1:
        yield diagnostic(
            "FTC705",
            "`link` is the network between machines, and there is only one",
            source.span("budget.link"),
            help="write `nodes: 2` or more, or remove `link`",
            path="budget.link",
        )


def losses_have_targets(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Class weights and the focal loss are for labels that a new head decides on: one a row for weights.

    The z-loss is for scores of a vocabulary, of which each target token has its own.
    """
    train, modes = recipe.train, recipe.task.modes()
    heads = [head_card(mode.head) for mode in modes]
    path = "train.class_weights"
    if train.class_weights not in ("auto", "none") and not all(one.labels == "one" and one.is_new for one in heads):
        summary = "class weights are for a classification with one label a row and a head"
        yield diagnostic("FTC285", summary, source.span(path), help="leave `class_weights` out", path=path)
    path = "train.focal_gamma"
    if train.focal_gamma is not None and not all(one.labels is not None and one.is_new for one in heads):
        summary = "`focal_gamma` is for classification and token classification with a head"
        yield diagnostic("FTC287", summary, source.span(path), help="leave `focal_gamma` out", path=path)
    elif train.focal_gamma is not None and train.label_smoothing:
        summary = "`focal_gamma` and `label_smoothing` can't be used together"
        yield diagnostic("FTC287", summary, source.span(path), help="keep one of the two", path=path)
    path = "train.loss"
    if train.loss is not None and recipe.task.loss_point is None:
        summary = "a package's loss is for tasks whose targets are tokens, or labels of a new head"
        yield diagnostic("FTC484", summary, source.span(path), help="leave `loss` out", path=path)
    elif train.loss is not None and (train.label_smoothing or train.focal_gamma is not None):
        summary = "`loss` takes the place of the cross entropy that `label_smoothing` and `focal_gamma` change"
        yield diagnostic("FTC484", summary, source.span(path), help="keep one of them", path=path)
    elif train.loss is not None and train.distillation is not None and train.distillation.weight == 1:
        summary = "`loss` has no effect: with `weight: 1` only the teacher's loss counts"
        help = "leave `loss` out, or lower `distillation.weight`"
        yield diagnostic("FTC484", summary, source.span(path), help=help, path=path)
    path = "train.z_loss"
    if train.z_loss is not None and not all(mode.scores_words for mode in modes):
        summary = "`z_loss` is for tasks in which each target token has scores over the vocabulary"
        help = "leave `z_loss` out" if recipe.task.prompted_mode is None else "leave it out, or write the other `mode`"
        yield diagnostic("FTC278", summary, source.span(path), help=help, path=path)


def head_rate_has_a_head(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A learning rate of the head needs a new one."""
    path = "train.head_learning_rate"
    if recipe.train.head_learning_rate != "auto" and not any(head_card(m.head).is_new for m in recipe.task.modes()):
        summary = f"a {recipe.task.kind} trains no new head, so `head_learning_rate` has no effect"
        help = "leave it out; `learning_rate` is that of everything that is trained"
        yield diagnostic("FTC286", summary, source.span(path), help=help, path=path)
