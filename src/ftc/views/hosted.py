"""What `ftc launch --on` says of a hosted job. Pure functions from its record to text."""

from __future__ import annotations

from ftc.spec.documents.hosted import HostedJob
from ftc.spec.providers import PROVIDERS
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, escaped, table

__all__ = ["hosted_line", "hosted_text", "question_text", "would_send_text"]


def would_send_text(job: HostedJob, closes: str, line: str, *, page: Page = PLAIN) -> str:
    """What would be sent, with nothing left out: settings, rows, request, price, and what nobody can pin.

    Args:
        job: The record as it would begin.
        closes: When the service ends, in words; empty where that isn't known.
        line: The first row, as it is sent.
        page: How text is set.
    """
    lines = _summary(job, closes, page)
    for title, how in (("sent", "sent"), ("fixed there", "fixed")):
        rows = [(escaped(one.path), escaped(one.value), escaped(one.words)) for one in job.settings if one.how == how]
        lines += ["", page.strong(title), *table(rows, indent=2)] if rows else []
    for title, how in (("the same there", "same"), ("stays here", "here")):
        lines += ["", page.strong(title)]
        for words in dict.fromkeys(one.words for one in job.settings if one.how == how):
            names = [escaped(one.path) for one in job.settings if one.how == how and one.words == words]
            lines += page.flow("", [f"{', '.join(names)}: {escaped(words)}"], indent=2)
    lines += ["", *page.flow("not pinned", map(escaped, job.not_pinned))]
    lines += ["", page.strong("request"), escaped(job.request), "", page.strong("first row"), escaped(line)]
    return "\n".join(lines) + "\n"


def question_text(job: HostedJob, key: str, closes: str, *, page: Page = PLAIN) -> str:
    """What a person agrees to before rows and key leave: where to, which rows, what it costs, and what isn't pinned.

    Args:
        job: The record as it would begin.
        key: Environment variable whose value goes along.
        closes: When the service ends, in words.
        page: How text is set.
    """
    lines = _summary(job, closes, page)
    lines += page.flow("key", [f"the value of {escaped(key)}, as a header"])
    lines += page.flow("not pinned", map(escaped, job.not_pinned))
    return "\n".join(lines) + "\n"


def _summary(job: HostedJob, closes: str, page: Page) -> list[str]:
    lines = page.flow("would send", [f"plan {numbers.digest(job.plan_sha256)}", f"to {escaped(job.base_url)}"])
    if closes:
        lines += page.flow("closes", [escaped(closes)])
    lines += page.flow("base", [escaped(job.model)])
    for name, sent in (("train", job.train), ("validation", job.validation)):
        if sent is not None:
            parts = [numbers.plural(sent.rows, "row"), f"{numbers.count(sent.tokens)} tokens by the plan's tokenizer"]
            parts += [numbers.byte_size(sent.facts.size), f"sha256 {numbers.digest(sent.facts.sha256)}"]
            lines += page.flow(name, parts)
    lines += page.flow("test", ["not sent"])
    price = job.price.price or "price not estimated: `price_per_million_tokens` is not in ftc.launch.yaml"
    dated = [f"by the price of {job.price.as_of}"] if job.price.as_of else []
    lines += page.flow("price", [f"{numbers.count(job.price.tokens)} tokens to train on", escaped(price), *dated])
    return lines


def hosted_line(job: HostedJob) -> str:
    """A job in a list."""
    state = f"job {job.job.id}, {job.job.their_status}" if job.job else "no job yet"
    return f"{escaped(job.id)}  {escaped(job.name)}  at {escaped(job.base_url)}: {escaped(state)}\n"


def hosted_text(job: HostedJob, folder: str, *, page: Page = PLAIN) -> str:
    """How a job stands."""
    seen = job.job
    state = [f"job {page.strong(seen.id)}", escaped(seen.their_status)] if seen else ["no job yet"]
    lines = page.flow(job.provider, [*state, *([escaped(seen.model)] if seen and seen.model else [])])
    said = seen.values if seen else {}
    names = [name for card in PROVIDERS if card.name == job.provider for name in card.usage]
    if used := [f"{name} {escaped(said[name])}" for name in names if name in said]:
        lines += page.flow("used", used)
    if job.preview is not None:
        compared = f"first {numbers.plural(job.preview.rows, 'row')}, {numbers.plural(job.preview.tokens, 'token')}"
        same = f"{len(job.preview.differing)} read otherwise" if job.preview.differing else "the same as the plan's"
        lines += page.flow("tokens", [compared, same])
    lines += page.flow("record", [escaped(f"{folder}/hosted.json")])
    if job.outputs:
        size = sum(facts.size for facts in job.outputs.values())
        lines += page.flow("fetched", [numbers.plural(len(job.outputs), "file"), numbers.byte_size(size)])
        if any(name.startswith("adapter/") for name in job.outputs):
            lines += page.flow("next", [f"`ftc apply {escaped(job.id)}` makes it a run, measured here beside the base"])
    if job.waived:
        lines += page.flow("waived", map(escaped, job.waived))
    lines += page.flow("not pinned", map(escaped, job.not_pinned))
    return "\n".join(lines) + "\n"
