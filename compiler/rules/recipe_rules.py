"""Values that can't stand together: a visible table of pure functions over the recipe alone.

Each rule looks at the whole recipe and yields what it finds; all run, so that one pass tells everything. What needs
facts about model, rows or device is a table of its own, in `ftc.compiler.passes.check_facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.rules.compile_rules import layers_can_be_compiled
from ftc.compiler.rules.eval_rules import (
    classifier_has_answers,
    gates_can_be_checked,
    judge_can_grade,
    metrics_fit_the_task,
    probes_can_be_measured,
    prompts_can_be_measured,
    reward_model_has_answers,
    slices_can_be_formed,
)
from ftc.compiler.rules.number_rules import (
    early_stopping_can_stop,
    evaluations_happen,
    gates_can_hold_and_break,
    learning_rate_is_usual,
    micro_batch_divides_the_batch,
    numbers_are_usual,
    value_at,
    warm_up_leaves_training,
)
from ftc.compiler.rules.reward_rules import (
    groups_are_whole,
    loss_knows_its_keys,
    rewards_are_complete,
    sampled_answers_are_taken_as_they_are,
    teachers_answers_know_their_keys,
    writers_know_their_keys,
)
from ftc.compiler.rules.sharing_rules import devices_divide_layers, devices_have_rows, devices_share_rows
from ftc.compiler.rules.source_rules import (
    own_columns_stand_alone,
    readers_stand_alone,
    sources_can_be_mixed,
    variants_can_be_made,
)
from ftc.compiler.rules.track_rules import trackers_write_into_the_project
from ftc.compiler.rules.train_rules import (
    OPTIMIZER_RULES,
    head_rate_has_a_head,
    link_has_machines,
    losses_have_targets,
    schedule_has_something_to_watch,
    sharding_can_be_done,
    sharding_has_devices,
    strategy_agrees_with_itself,
    teacher_can_teach,
    warm_up_is_said_once,
)
from ftc.spec.base import Money
from ftc.spec.diagnostics import Diagnostic, Related, Span, diagnostic, rewritten
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.source import Source
from ftc.spec.rewards import judge_of
from ftc.spec.sections.evaluation import watched_metrics
from ftc.spec.sections.recipe import Recipe

__all__ = ["RULES", "Rule", "check_rules"]

Rule = Callable[[Recipe, Source], Iterator[Diagnostic]]


def fields_fit_the_task(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Each key of `data.fields` is a part that the task knows; of one source, or a variable of its prompt template."""
    parts, template = recipe.task.CARD.part_names, recipe.task.template or ""
    several = recipe.data.source if isinstance(recipe.data.source, tuple) else ()
    own = [(f"data.source[{number}].fields", one.fields or {}) for number, one in enumerate(several)]
    for path, fields in (("data.fields", recipe.data.fields), *own):
        named = prompt_columns(template, tuple(fields.values())) if path != "data.fields" else ()
        for part in fields:
            if part in parts or part in named:
                continue
            close = nearest(part, parts)
            yield diagnostic(
                "FTC201",
                f"`{part}` is not a field of a {recipe.task.kind} task",
                source.key_span(f"{path}.{part}"),
                label=f"did you mean `{close}`?" if close else "",
                help=f"the fields of this task are {', '.join(parts)}",
                fixes=rewritten(source.key_span(f"{path}.{part}"), close) if close else (),
                path=f"{path}.{part}",
            )


def one_prompt(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A generation has its prompt from a template or from a column, not from both."""
    if recipe.task.template and "prompt" in recipe.task.CARD.part_names and "prompt" in recipe.data.fields:
        yield diagnostic(
            "FTC202",
            "two prompts: a template and a column",
            source.span("task.prompt"),
            label="a template",
            related=_related(source.span("data.fields.prompt"), "and a column"),
            help="keep one; a template can use the column as `{{ " + recipe.data.fields["prompt"] + " }}`",
            path="task.prompt",
        )


def shares_leave_training_rows(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Validation and test shares leave something to train on."""
    split = recipe.data.split
    shares = [share for share in (split.validation, split.test) if isinstance(share, float)]
    if sum(shares) >= 1:
        yield diagnostic(
            "FTC203",
            f"validation and test take {sum(shares):.0%} of the rows, so no rows are left for training",
            source.span("data.split"),
            help="make their sum less than 1; 0.1 each is usual",
            path="data.split",
        )


def early_stopping_has_something_to_watch(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Early stopping needs a validation split and a metric that validation computes."""
    stopping = recipe.train.early_stopping
    if stopping is None:
        return
    if recipe.data.split.validation == 0:
        yield diagnostic(
            "FTC204",
            "`early_stopping` needs validation data",
            source.key_span("train.early_stopping"),
            label="needs validation data",
            related=_related(source.span("data.split.validation"), "no validation share here"),
            help="set `validation: 0.1` in `data.split`, or remove `early_stopping`",
            path="train.early_stopping",
        )
    watched = watched_metrics(recipe.task)
    if stopping.metric not in watched:
        close = nearest(stopping.metric, watched)
        yield diagnostic(
            "FTC205",
            f"validation does not compute `{stopping.metric}`",
            source.span("train.early_stopping.metric"),
            label=f"did you mean `{close}`?" if close else "",
            help=f"metrics available during validation: {', '.join(watched)}",
            fixes=rewritten(source.span("train.early_stopping.metric"), close) if close else (),
            path="train.early_stopping.metric",
        )


def cost_has_a_price(recipe: Recipe, source: Source, prices: Mapping[str, Money]) -> Iterator[Diagnostic]:
    """A limit on the cost needs a price, of the recipe's own or of the policy. Whose device has one, the plan knows."""
    budget = recipe.budget
    if budget.cost is not None and budget.price_per_hour is None and not prices:
        yield diagnostic(
            "FTC209",
            "`cost` needs `price_per_hour`",
            source.key_span("budget.cost"),
            help="add the device's price per hour, such as `price_per_hour: 0.40 USD`",
            path="budget.cost",
        )


def sums_have_one_currency(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Prices are added up and held against a limit, so all are in one currency."""
    budget, tokens = recipe.budget, recipe.budget.price_per_million_tokens
    sums = {
        "cost": budget.cost,
        "price_per_hour": budget.price_per_hour,
        "price_per_million_tokens.sent": tokens.sent if tokens else None,
        "price_per_million_tokens.received": tokens.received if tokens else None,
    }
    known = [(f"budget.{name}", one) for name, one in sums.items() if one is not None]
    for path, one in known[1:]:
        first, other = known[0]
        if one.currency != other.currency:
            yield diagnostic(
                "FTC209",
                (
                    f"prices in two currencies: {_price_word(first)} in {other.currency}, {_price_word(path)} in "
                    f"{one.currency}"
                ),
                source.span(first),
                related=_related(source.span(path), _price_word(path)),
                help="write both in one currency",
                path=first,
            )


def _price_word(path: str) -> str:
    return "cost" if path == "budget.cost" else "price"


def tokens_with_a_price_are_sent(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A price for tokens is that of the judge's service."""
    sampling = recipe.task.sampling
    judge = recipe.eval.judge or (judge_of(sampling.rewards) if sampling else None)
    if recipe.budget.price_per_million_tokens is not None and judge is None:
        yield diagnostic(
            "FTC209",
            "`price_per_million_tokens` applies only to a judge, and none is asked",
            source.key_span("budget.price_per_million_tokens"),
            help="remove it, or set `eval.judge`",
            path="budget.price_per_million_tokens",
        )


def columns_have_something_to_divide(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Stratifying, grouping and times need a share to cut; parts that are files of their own are not divided."""
    split = recipe.data.split
    if any(isinstance(share, float) and share > 0 for share in (split.validation, split.test)):
        return
    for key in ("stratify", "group", "time"):
        if getattr(split, key):
            yield diagnostic(
                "FTC212",
                f"`{key}` has no effect: no part of the split is a share",
                source.span(f"data.split.{key}"),
                help=f"remove `{key}`, or give validation or test as a share",
                path=f"data.split.{key}",
            )


def annotators_can_agree(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Agreement is between two annotators or more."""
    if len(recipe.data.quality.annotations) == 1:
        path, help = "data.quality.annotations", "name the columns of all annotators, or remove it"
        yield diagnostic("FTC230", "agreement needs at least two annotators", source.span(path), help=help, path=path)


def one_way_to_divide(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """Size, time and hash are three ways to divide, and each leaves something out."""
    split = recipe.data.split
    excluded = [("time", "stratify"), ("time", "group")] if split.time else []
    if split.by == "hash":
        excluded += [("by", "stratify"), ("by", "time")]
    if split.fold is not None:  # a fold of later rows would be trained on, and rows of a hash never move
        excluded += [("time", "fold")] if split.time else []
        excluded += [("by", "fold")] if split.by == "hash" else []
        excluded += [("validation", "fold")] if not isinstance(split.validation, float) or not split.validation else []
    for key, other in excluded:
        if getattr(split, other):
            way = "`by: hash`" if key == "by" else f"`{key}`"
            yield diagnostic(
                "FTC260",
                f"{way} and `{other}` exclude each other",
                source.span(f"data.split.{other}"),
                related=_related(source.span(f"data.split.{key}"), "excludes it"),
                help=f"keep one of `{key}` and `{other}`",
                path=f"data.split.{other}",
            )


def targets_stand_once(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The same target twice is a slip."""
    targets = value_at(recipe, "strategy.targets")
    if isinstance(targets, tuple):
        yield from _twice("FTC213", "target", targets, source, "strategy.targets")


def names_stand_once(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """The same label, metric or license twice is a slip, and a label would be two outputs of the model."""
    for path, noun in _LISTS.items():
        names = value_at(recipe, path)
        if isinstance(names, tuple):
            yield from _twice("FTC219", noun, names, source, path)
    rows = recipe.data.source
    places = (
        {f"data.source[{n}]": one for n, one in enumerate(rows)} if isinstance(rows, tuple) else {"data.source": rows}
    )
    for place, one in places.items():
        yield from _twice("FTC219", "column", getattr(one, "columns", None) or (), source, f"{place}.columns")


_LISTS = {
    "task.labels": "label",
    "task.label_columns": "column",
    "task.scores": "column",
    "model.license.allow": "license",
    "eval.metrics": "metric",
    "eval.slices": "slice",
}
_LISTS |= {"data.quality.annotations": "annotator", "data.quality.presidio.countries": "country"}
"""Lists whose entries are told apart, and what an entry is."""


def _twice(code: str, noun: str, names: tuple[str, ...], source: Source, path: str) -> Iterator[Diagnostic]:
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if first.setdefault(name, position) != position:
            place = f"{path}[{position}]"
            yield diagnostic(
                code,
                f"{noun} `{name}` is listed twice",
                source.span(place),
                related=_related(source.span(f"{path}[{first[name]}]"), "first here"),
                help="remove one of them",
                path=place,
            )


def licenses_are_ids(recipe: Recipe, source: Source) -> Iterator[Diagnostic]:
    """A license is allowed by its id, which has lower-case letters alone; another spelling would match nothing."""
    for position, name in enumerate(recipe.model.license.allow if recipe.model.license else ()):
        if name != (written := name.strip().lower().replace(" ", "-")):
            path = f"model.license.allow[{position}]"
            span = source.span(path)
            yield diagnostic(
                "FTC238",
                f"`{name}` is not a license id",
                span,
                label=f"did you mean `{written}`?",
                help="license ids are in lower case, as on the hub",
                fixes=rewritten(span, written),
                path=path,
            )


RULES: tuple[Rule, ...] = (
    names_stand_once,
    fields_fit_the_task,
    one_prompt,
    shares_leave_training_rows,
    own_columns_stand_alone,
    readers_stand_alone,
    sources_can_be_mixed,
    variants_can_be_made,
    columns_have_something_to_divide,
    one_way_to_divide,
    annotators_can_agree,
    licenses_are_ids,
    targets_stand_once,
    strategy_agrees_with_itself,
    warm_up_is_said_once,
    *OPTIMIZER_RULES,
    schedule_has_something_to_watch,
    micro_batch_divides_the_batch,
    devices_share_rows,
    devices_divide_layers,
    devices_have_rows,
    link_has_machines,
    rewards_are_complete,
    groups_are_whole,
    loss_knows_its_keys,
    sampled_answers_are_taken_as_they_are,
    teachers_answers_know_their_keys,
    writers_know_their_keys,
    sharding_has_devices,
    sharding_can_be_done,
    learning_rate_is_usual,
    head_rate_has_a_head,
    layers_can_be_compiled,
    losses_have_targets,
    numbers_are_usual,
    warm_up_leaves_training,
    evaluations_happen,
    early_stopping_has_something_to_watch,
    early_stopping_can_stop,
    teacher_can_teach,
    metrics_fit_the_task,
    slices_can_be_formed,
    probes_can_be_measured,
    prompts_can_be_measured,
    classifier_has_answers,
    reward_model_has_answers,
    judge_can_grade,
    gates_can_be_checked,
    gates_can_hold_and_break,
    sums_have_one_currency,
    tokens_with_a_price_are_sent,
    trackers_write_into_the_project,
)
"""Every rule that asks the recipe alone, in the order of its sections."""


def check_rules(recipe: Recipe, source: Source, prices: Mapping[str, Money] | None = None) -> tuple[Diagnostic, ...]:
    """What all rules find.

    Args:
        recipe: The recipe.
        source: Its text with places.
        prices: What an hour of a device costs by the project's policy, by the device's name.
    """
    found = (one for rule in RULES for one in rule(recipe, source))
    return (*found, *cost_has_a_price(recipe, source, prices or {}))


def _related(span: Span | None, label: str) -> tuple[Related, ...]:
    return (Related(span, label),) if span else ()
