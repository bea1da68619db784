"""Was tuning worth it? The untouched base model with prompts beside the tuned one, and what each costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ftc.spec.documents.outcomes import best_prompted
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.prompted import PromptedResult
from ftc.spec.documents.record import Evaluation, RunRecord, SubjectResult
from ftc.views import numbers
from ftc.views.page import Page, escaped, fitted
from ftc.views.report.elements import section, text
from ftc.views.report.elements import table as html_table
from ftc.views.words import metric_title

__all__ = ["prompted_lines", "prompted_section", "prompted_table", "worth_words"]


def _rows(evaluation: Evaluation) -> Iterator[tuple[str, ...]]:
    """A row a model and prompt: values with their intervals, then tokens of a prompt and seconds of a row."""
    names = list(evaluation.tuned.metrics)
    first = evaluation.prompted[0]
    own = f"{first.own_tokens:,.0f}"
    subjects: list[tuple[str, SubjectResult | PromptedResult, str]] = [
        *([("base", evaluation.base, own)] if evaluation.base else []),
        *((f"base, {one.title}", one, f"{one.prompt_tokens:,.0f}") for one in evaluation.prompted),
        ("tuned", evaluation.tuned, own),
    ]
    for name, one, tokens in subjects:
        cells = []
        for metric in names:
            interval = one.intervals.get(metric)
            between = f" ({numbers.interval(interval)})" if interval else ""
            cells.append(numbers.metric(one.metrics[metric]) + between if metric in one.metrics else "")
        yield name, *cells, tokens, f"{one.seconds / max(1, one.rows):.3g}"


def _header(evaluation: Evaluation) -> tuple[str, ...]:
    return "", *map(metric_title, evaluation.tuned.metrics), "prompt tokens", "seconds per row"


def worth_words(plan: Plan, record: RunRecord | None, evaluation: Evaluation) -> Iterator[str]:
    """The gain over the best prompt, what training took, and what the prompt costs with each request."""
    found = best_prompted(plan.settings.eval.metrics, evaluation)
    if found is None:
        return
    name, best = found
    gain = best.gains.get(name)
    apart = numbers.gain(gain) if gain else numbers.signed(evaluation.tuned.metrics[name] - best.metrics[name])
    yield f"Gain of tuning over the best prompt ({best.title}): {metric_title(name)} {apart}."
    if record is not None:
        cost = "its price is unknown, as no `budget.price_per_hour` is set"
        if (time := plan.time) is not None and time.cost_low is not None and time.cost_high is not None:
            low, high = time.cost_low, time.cost_high
            cost = f"planned at {numbers.amount_range(low.amount, high.amount, high.currency)}"
        took = f"{numbers.duration(record.train_seconds)} of training"
        if record.train_seconds is None:
            took, cost = "training at a service", "its price and its time are what the service says"
        yield f"Cost of tuning: {took}; {cost}."
    more = best.prompt_tokens - best.own_tokens
    ratio = f", {best.prompt_tokens / best.own_tokens:.1f} times as many" if best.own_tokens else ""
    seconds = (best.seconds - evaluation.tuned.seconds) / max(1, best.rows)
    size = f"has {more:+,.0f} tokens per request{ratio}" if round(more) else "is the one that the tuned model is given"
    yield (
        f"Cost at use: the prompt {size}; a row took {numbers.signed(seconds)} seconds more than with the tuned model "
        "on this device."
    )
    if record is not None and record.train_seconds is not None and seconds > 0:
        requests = math.ceil(record.train_seconds / seconds)
        yield f"After {numbers.count(requests)} requests the time that the tuned model saves equals that of training."


def prompted_lines(plan: Plan, record: RunRecord | None, evaluation: Evaluation, page: Page) -> list[str]:
    """The comparison on a terminal; nothing where no prompt was measured."""
    if not evaluation.prompted:
        return []
    header = _header(evaluation)
    rows = [tuple(map(escaped, row)) for row in _rows(evaluation)]
    lines = fitted(header, rows, page, right=range(1, len(header)), indent=2)
    words = [line for one in worth_words(plan, record, evaluation) for line in page.wrap(f"  {escaped(one)}")]
    return ["is tuning worth it?", *lines, *words]


def prompted_table(plan: Plan, record: RunRecord | None, evaluation: Evaluation) -> str:
    """The same in Markdown."""
    header = _header(evaluation)
    lines = [header, ("---", *("---:" for _ in header[1:])), *_rows(evaluation)]
    words = " ".join(worth_words(plan, record, evaluation))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"The untouched base model with prompts, on the same rows:\n\n{table}\n\n{words}"


def prompted_section(plan: Plan, record: RunRecord, evaluation: Evaluation | None) -> str:
    """The same in the report, with the prompts' examples."""
    if evaluation is None or not evaluation.prompted:
        return ""
    header = _header(evaluation)
    values = html_table(
        "On the same test rows, with 95 % intervals",
        header,
        [tuple(map(text, row)) for row in _rows(evaluation)],
        right=range(1, len(header)),
    )
    names = list(evaluation.tuned.metrics)
    gains = html_table(
        "Tuned model less prompt (95 % interval)",
        ("", *map(metric_title, names)),
        [
            (text(one.title), *(numbers.gain(one.gains[name]) if name in one.gains else "–" for name in names))
            for one in evaluation.prompted
        ],
        right=range(1, 1 + len(names)),
    )
    words = "".join(f"<p>{text(one)}</p>" for one in worth_words(plan, record, evaluation))
    asked = [
        (
            text(one.title),
            f"<pre>{text(one.prompt)}</pre>" if one.prompt else "the conversation of the row",
            text(", ".join(row.place for row in one.examples) or "none"),
        )
        for one in plan.settings.eval.baselines
    ]
    prompts = html_table("What the base model was given", ("", "prompt template", "examples of training rows"), asked)
    note = (
        "Intervals are over the test rows. They don't contain what another draw of the examples, or another wording "
        "of the prompt, would change."
    )
    return section("prompted", "Is tuning worth it?", words, values, gains, prompts, f"<p><small>{note}</small></p>")
