"""What would be sent to a hosted service, made here alone: settings, rows, price, and what can't go there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.hosted import HostedJob, PriceSeen, SentRows, SettingUse
from ftc.spec.documents.launch import LAUNCH_FILE, HostedSettings
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.quality import TOKENS_UNSEARCHED
from ftc.spec.heads import head_card
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.providers import Asked, ProviderCard, request_text, setting_uses
from ftc.spec.storage.paths import runs_folder
from ftc.spec.text_forms import form_card
from ftc.spec.version import VERSION
from ftc.verbs.hosted.sent_rows import written_rows
from ftc.verbs.hosted.service import LOOPBACK
from ftc.verbs.launch import Launch

__all__ = ["WAIVABLE", "Prepared", "prepare"]

WAIVABLE = ("personal-data", "price", "secrets", "shutdown", "tokens")
"""What `--waive` passes over."""
_KINDS: dict[Literal["personal", "secrets"], str] = {"personal": "personal-data", "secrets": "secrets"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job as it would be sent.

    Attributes:
        launch: The plan and where it belongs.
        card: The service.
        site: Its section of `ftc.launch.yaml`.
        job: The record as it begins.
        epochs: Passes over the rows.
        closes: When the service at this address ends, in words; empty where no such day is known.
        files: The rows' files by part, `train` and, where it is sent, `validation`.
    """

    launch: Launch
    card: ProviderCard
    site: HostedSettings
    job: HostedJob
    epochs: int
    closes: str
    files: dict[str, Path]

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return runs_folder(self.launch.root, self.job.name) / self.job.id

    @property
    def key(self) -> str:
        """Name of the environment variable that holds the key."""
        return self.site.key or self.card.key

    def body(self, job: HostedJob) -> dict[str, Any]:
        """The request that creates a job, as far as the names of its files are known."""
        sent = job.validation.id if job.validation else None
        asked = Asked(self.launch.plan, self.site, job.model, self.epochs, job.marker, job.train.id or "", sent)
        return dict(self.card.request(asked))


def prepare(launch: Launch, card: ProviderCard, waived: Sequence[str], scratch: Path, today: date) -> Prepared:
    """Decides what is sent, and writes the rows.

    Args:
        launch: The plan, with the site's settings.
        card: The service.
        waived: What may be passed over, by name.
        scratch: An empty folder for the rows.
        today: The day, which decides what is shut down.

    Raises:
        Refusal: Something can't or should not be sent (FTC710, FTC790 to FTC794), or the rows are not here (FTC704).
    """
    plan, site = launch.plan, launch.settings.hosted(card.name)
    uses, refused = setting_uses(card, plan, site.leave)
    found = [*_misnamed(waived), *_unsuited(plan), *refused, *_shut(card, site, today)]
    found += _private(plan, site, waived)
    model = site.model or (plan.settings.model.base if card.model_is_base and plan.settings.model.commit else None)
    if model is None:
        summary = f"`{card.name}.model` is not set"
        help = f"write into `{LAUNCH_FILE}` which base to train, by the service's name for it"
        found.append(diagnostic("FTC710", summary, help=help))
    if found:
        raise Refusal(found)
    assert model is not None, "else refused"
    parts = ("train", "validation") if site.send_validation and "validation" in plan.data else ("train",)
    files = {part: scratch / f"{plan.name}-{part}.jsonl" for part in parts}
    rows = {part: written_rows(launch, card, part, file) for part, file in files.items()}
    if card.shortest_rows is not None and rows["train"].rows < card.shortest_rows:
        summary = f"{card.title} takes at least {card.shortest_rows} rows, and the plan has {rows['train'].rows}"
        raise Refusal([diagnostic("FTC791", summary, help="add rows to the recipe's data")])
    epochs = plan.settings.train.num_steps // plan.settings.train.steps_per_epoch
    asked = Asked(plan, site, model, epochs, "", "", "" if "validation" in rows else None)
    job = _beginning(card, asked, uses, rows, waived)
    host = urlsplit(job.base_url).hostname
    closes = "; ".join(f"{one.on}: {one.words}" for one in card.closings if one.host == host)
    return Prepared(launch, card, site, job.sealed(), epochs, closes, files)


def _beginning(
    card: ProviderCard,
    asked: Asked,
    uses: tuple[SettingUse, ...],
    rows: Mapping[str, SentRows],
    waived: Sequence[str],
) -> HostedJob:
    """The record of a job of which nothing is sent yet."""
    plan, site, model = asked.plan, asked.site, asked.model
    pinned = not card.model_is_base or plan.settings.model.commit is not None
    base = () if pinned else (f"the base's weights: `{model}` is a name at the service",)
    job = HostedJob(
        ftc_version=VERSION,
        id=card.name,
        name=plan.name,
        plan_sha256=plan.sha256,
        plan_job_sha256=plan.job_sha256(),
        provider=card.name,
        base_url=(site.base_url or card.base_url).rstrip("/"),
        model=model,
        request_sha256="",
        request=request_text(card, asked),
        settings=uses,
        train=rows["train"],
        validation=rows.get("validation"),
        waived=tuple(sorted(set(waived))),
        not_pinned=(*base, *card.not_pinned),
        attempt=1,
        creating=False,
        price=_price(rows["train"], asked.epochs, site),
        preview=None,
        job=None,
        outputs={},
        fetched=False,
        moments=(),
    )
    digest = job.expected_request_sha256()
    return job.model_copy(update={"id": f"{card.name}-{digest[:12]}", "request_sha256": digest})


def _price(rows: SentRows, epochs: int, site: HostedSettings) -> PriceSeen:
    tokens, each = rows.tokens * epochs, site.price_per_million_tokens
    if each is None:
        return PriceSeen(tokens=tokens, price=None)
    price = f"{tokens * each.amount / 1e6:.4f} {each.currency}"
    return PriceSeen(tokens=tokens, price=price, as_of=site.price_as_of)


def _misnamed(waived: Sequence[str]) -> Iterator[Diagnostic]:
    for name in waived:
        if name not in WAIVABLE:
            near = nearest(name, WAIVABLE)
            help = f"did you mean `{near}`?" if near else f"`--waive` takes {', '.join(WAIVABLE)}"
            yield diagnostic("FTC794", f"nothing that is checked here is called `{name}`", help=help)


def _unsuited(plan: Plan) -> Iterator[Diagnostic]:
    """Why a plan is none that a hosted service could train."""
    settings, form = plan.settings, form_card(plan.settings.text.form)
    is_single = not (form.is_pair or form.has_texts or form.is_sampled)
    if not head_card(settings.model.head).writes or settings.model.family != "decoder" or not is_single:
        summary = f"hosted services train no task `{plan.recipe.task.kind}` as this recipe means it"
        help = "train it here with `ftc apply`, or on your own machines with `ftc launch`"
        yield diagnostic("FTC791", summary, help=help, path="task.kind")
    elif not settings.text.uses_chat_template:
        summary = "the model has no chat template, and hosted services take conversations"
        yield diagnostic("FTC791", summary, help="choose a base with a chat template", path="model.base")
    train = settings.train
    if train.num_steps % train.steps_per_epoch:
        summary = f"the plan ends inside of a pass over the rows: {train.num_steps / train.steps_per_epoch:.2f} epochs"
        help = "set `train.epochs` to a whole number, without `train.max_steps`"
        yield diagnostic("FTC791", summary, help=help, path="train.epochs")
    if "test" not in plan.data:
        return
    if plan.quality.trained_on is None:
        summary = f"{TOKENS_UNSEARCHED}, so that test rows may be sent"
        yield diagnostic("FTC793", summary, help="make the plan again with `ftc plan`", path="data.split")
    elif shared := plan.quality.trained_on:
        summary = f"{shared} test rows are training rows as well, so that they would be sent"
        yield diagnostic("FTC793", summary, help="split the rows so that no test row is trained on", path="data.split")


def _shut(card: ProviderCard, site: HostedSettings, today: date) -> Iterator[Diagnostic]:
    address = urlsplit(site.base_url or card.base_url)
    for closing in card.closings:
        if closing.host == address.hostname and today >= closing.on:
            helps = ("train at another service, or here", "servers of one's own have another `base_url`")
            yield diagnostic("FTC792", f"since {closing.on} {closing.words}", help=helps)
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        summary = f"`{card.name}.base_url` is not encrypted, and would carry the key and the rows"
        yield diagnostic("FTC794", summary, help="write the address with `https://`")


def _private(plan: Plan, site: HostedSettings, waived: Sequence[str]) -> Iterator[Diagnostic]:
    sent = ("train", "validation") if site.send_validation else ("train",)
    for kind, name in _KINDS.items():
        found = [one for one in plan.quality.findings if one.kind == kind and one.split in sent]
        if found and name not in waived:
            notes = [f"{one.split}: {one.rows:,} of {one.of:,} rows, {one.rule}" for one in found]
            what = "secrets" if kind == "secrets" else "personal data"
            help = f"take them out of the rows, or pass `--waive {name}` if you may send them"
            yield diagnostic("FTC793", f"rows that would be sent hold {what}", notes=notes, help=help)
