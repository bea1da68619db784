"""Where the rows come from, which columns matter, and how they are divided."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, PlainSerializer, Tag

from ftc.spec.base import Document, Effect, Real

__all__ = [
    "PROMPT_COLUMN",
    "WORKBOOKS",
    "Augment",
    "Data",
    "Difference",
    "HubSource",
    "LabelRules",
    "MixedHub",
    "MixedPath",
    "Paraphrases",
    "PathSource",
    "PresidioRules",
    "QualityRules",
    "Source",
    "Split",
    "with_prompts",
]

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
"""Suffixes of workbooks, which an extra reads."""
PROMPT_COLUMN = "ftc_prompt"
"""Column of a variant that tells which of the further prompts it has, from 1."""


class Paraphrases(Document):
    """A table of phrases beside the recipe."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    path: str = Field(min_length=1)
    """CSV or other data file with the columns `from` and `to`, relative to the recipe's folder. A phrase may stand in
    several rows."""


class Augment(Document):
    """Variants of training rows; rows that are measured are never varied. What is learned stays as it is."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    variants: int = Field(default=1, ge=1, le=20)
    """Variants of each row that has any; one that comes out like its row is left out. Default: 1, which doubles the
    rows at most."""
    share: Real = Field(default=1.0, gt=0, le=1)
    """Share of the training rows that have variants. Default: 1, so that no row is preferred."""
    prompts: tuple[str, ...] = Field(default=(), max_length=50)
    """Further prompt templates of a generation, of which each variant has one. Default: none, so that variants have the
    prompt of their row."""
    paraphrases: Paraphrases | None = None
    """Phrases and what may stand for them; each is replaced with a chance of one half. Default: none, since only you
    know what means the same."""
    words: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the words that are left out or change places with the next. Default: 0, since order often matters."""
    characters: Real = Field(default=0.0, ge=0, le=0.5)
    """Share of the letters that are doubled, left out or change places with the next. Default: 0, since clean text
    needs no slips."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Seed of all variants. Default: 17, a fixed number so that two people get the same."""


def with_prompts(prompt: str, others: tuple[str, ...]) -> str:
    """One template that takes the prompt which a row's `PROMPT_COLUMN` names, and the first where there is none."""
    name = PROMPT_COLUMN
    branches = "".join(
        f"{'{%'} {'if' if number == 1 else 'elif'} {name} is defined and {name} == {number} {'%}'}{other}"
        for number, other in enumerate(others, start=1)
    )
    return f"{branches}{'{%'} else {'%}'}{prompt}{'{%'} endif {'%}'}" if others else prompt


class PathSource(Document):
    """A file beside the recipe."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    path: str = Field(min_length=1)
    """JSON, JSON lines, CSV, TSV, Excel, OpenDocument, Parquet, Arrow, CoNLL or text file, relative to the recipe's
    folder; the suffix tells which. Of a text file each line is a row with the column `text`. A folder stands for the
    data files in it, a pattern such as `shards/*.jsonl` for all files that fit it, in the order of their names.
    A file at an `s3://`, `gs://` or `https://` address is fetched once (extra `remote`) and pinned by its digest."""
    delimiter: Literal[",", ";", "|", "tab"] | None = None
    """What divides the values of a CSV or TSV file. Default: what fits the header and the first rows, commas (tabs in a
    `.tsv` file) before semicolons, tabs and vertical bars."""
    sheet: str | None = Field(default=None, min_length=1)
    """Sheet of a workbook. Default: the first, where most workbooks have their rows; the plan names it."""


class HubSource(Document):
    """A file of a data set on the hub."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    hub: str = Field(min_length=1, pattern=r"^[\w.-]+/[\w.-]+$")
    """Id of the data set, such as `owner/name`."""
    file: str | None = Field(default=None, min_length=1)
    """Path of the file inside the data set. Default: the only data file that there is, or the only one named for
    training; the lock keeps which. Several are listed to choose from, since none is more right."""
    revision: str | None = Field(default=None, min_length=1)
    """Branch, tag or commit. Default: the main branch; the lock keeps the commit that it stood at."""


def _kind_of_source(value: object) -> str:
    if isinstance(value, dict):
        return "from-hub" if "hub" in value else "from-path"
    return "from-hub" if isinstance(value, HubSource) else "from-path"


Source = Annotated[
    Annotated[PathSource, Tag("from-path")] | Annotated[HubSource, Tag("from-hub")], Discriminator(_kind_of_source)
]
"""A file on disk or on the hub, told apart by the key `path` or `hub`."""


class _Mixed(Document):
    """What a source of several says beside its file."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    weight: Annotated[Real, Field(gt=0)] | None = None
    """This source's share of an epoch's training rows, beside the weights of the others. Default: none, and then none
    of the sources has one: all rows of all of them are trained on."""
    fields: dict[str, str] | None = None
    """Which column plays which part, where this file names them otherwise. Default: as `data.fields` says, since most
    sources were made alike."""
    only_train: bool = False
    """Whether all of its rows are trained on, and none is measured: for general data that keeps a model from
    forgetting. Default: no, so that each source gives its share to every part."""


class MixedPath(PathSource, _Mixed):
    """A file beside the recipe, one of several sources."""


class MixedHub(HubSource, _Mixed):
    """A file of a data set on the hub, one of several sources."""


MixedSource = Annotated[
    Annotated[MixedPath, Tag("from-path")] | Annotated[MixedHub, Tag("from-hub")], Discriminator(_kind_of_source)
]
"""One of several sources."""


def _kind_of_sources(value: object) -> str:
    return "several" if isinstance(value, list | tuple) else _kind_of_source(value)


Sources = Annotated[
    Annotated[PathSource, Tag("from-path")]
    | Annotated[HubSource, Tag("from-hub")]
    | Annotated[tuple[MixedSource, ...], Tag("several")],
    Discriminator(_kind_of_sources),
]
"""One file, or a list of several that are mixed."""


def _kind_of_share(value: object) -> str:
    return "as-source" if isinstance(value, dict | PathSource | HubSource) else "as-share"


Share = Annotated[
    Annotated[Annotated[Real, Field(ge=0, lt=1)], Tag("as-share")] | Annotated[Source, Tag("as-source")],
    Discriminator(_kind_of_share),
]
"""Part of the rows as a ratio, or a file of its own."""


class Split(Document):
    """How rows are divided. Whatever is not validation or test is training data."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    validation: Share = 0.1
    """Share of the rows, or a file of its own, for choosing the best checkpoint. `0` for none. Default: 0.1,
    enough to tell checkpoints apart while most rows train."""
    test: Share = 0.1
    """Share of the rows, or a file of its own, looked at once, at the very end. `0` for none. Default: 0.1,
    as much as validation."""
    stratify: str | None = Field(default=None, min_length=1)
    """Column whose values keep their proportions in every part. Default: the label in a classification, so that no
    class can be missing by chance; else none."""
    group: str | None = Field(default=None, min_length=1)
    """Column whose values name what belongs together, such as a customer or a document: rows of one group all go to
    the same part, so that nothing is measured on what was half seen. Default: none, so that
    only copies of a row stay together."""
    together: Literal["copies", "alike"] = "alike"
    """Which rows stay in one part: `copies` of one another, or all that are `alike`, which differ in marks and case
    alone or are near duplicates by `data.quality.similarity`. Default: alike, since a row whose near duplicate was
    trained on measures memory."""
    time: str | None = Field(default=None, min_length=1)
    """Column of dates, ISO 8601 text or numbers: the newest rows are test, those before validation, the oldest train,
    as it will be when the model is used. Rows that stay `together` go where the oldest of them goes; the plan counts
    those that break the order. Default: none, since most rows bear no date."""
    by: Literal["share", "hash"] = "share"
    """`share` gives each part its exact size. `hash` lets each row's own digest decide, so that no row ever changes its
    part when others are added, and sizes come near their share. Default: share, since small parts should have the size
    that was asked for."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Seed of the division, apart from `train.seed`, so that another training seed never moves a row between parts.
    Default: 17, a fixed number so that two people get the same parts."""


class PresidioRules(Document):
    """Which of presidio's patterns are looked for beside ftc's own (extra `pii`). No language model is loaded, so names
    are not found, and nothing is downloaded.
    """

    EFFECT: ClassVar[Effect] = Effect.DATA

    countries: tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...] = Field(default=(), max_length=30)
    """Countries whose own numbers are looked for, by presidio's two letters, such as `[us, uk]`: social security, tax,
    passports and the like. Default: none beside what every country has (cards, accounts, addresses of mail, machines
    and wallets, telephones), since almost any long number is somebody's in some country."""
    least_score: Real = Field(default=0.4, ge=0, le=1)
    """How sure presidio has to be, from 0 to 1. Default: 0.4, which it gives to telephone numbers; what has check
    digits that are right has 1, and mere runs of digits less than 0.4."""


Difference = Literal["case", "space", "unicode"]
"""`case`: small and capital letters. `space`: white space and invisible characters. `unicode`: one character or two for
the same letter (NFC)."""


class LabelRules(Document):
    """How labels are read."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    normalize: tuple[Difference, ...] = Field(default=(), max_length=3)
    """Differences between labels that make no class of its own, of `case`, `space` and `unicode`. The class has the
    spelling that `task.labels` gives, else the most frequent one, so that `SMS` and `Billing` stay what they are; the
    plan lists what was spelled otherwise. Default: none, since only you know whether `us` and `US` are one; labels that
    differ so are pointed out."""


class QualityRules(Document):
    """What is looked for in the rows, and what is borne."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    similarity: Annotated[Real, Field(ge=0.5, le=1)] | None = 0.9
    """Jaccard similarity of two texts' runs of four words from which they count as near duplicates; `null` looks for
    none. Default: 0.9, which finds what was edited and leaves what merely speaks of the same."""
    allow_overlap: Real = Field(default=0.0, ge=0, le=1)
    """Share of a measured part's rows that may resemble training rows; more is an error. Default: 0, since such rows
    flatter the model."""
    secrets: Literal["warn", "refuse"] = "warn"
    """What API keys, passwords and private keys in the rows lead to. Default: warn, since most of them are examples."""
    personal: Literal["report", "warn", "refuse"] = "report"
    """What e-mail addresses, telephone, card and account numbers in the rows lead to. Default: report, since only you
    know what the rows are for; the plan counts them."""
    presidio: PresidioRules | None = None
    """Have presidio count personal data as well, by its kinds, such as `{countries: [us]}`; what it finds is treated
    as `personal` says. Default: none, since ftc's own rules need no further package; its release is in the lock.
    Costs one to five milliseconds for a row of a thousand letters, once."""
    annotations: tuple[str, ...] = Field(default=(), max_length=50)
    """Columns with the labels of several annotators, whose agreement beyond chance the plan then tells. Default: none,
    since most data has one label a row."""


_OF_DOCUMENTS = {"first_exhausted": "stop", "all_exhausted": "repeat"}
StoppingStrategy = Annotated[
    Literal["first_exhausted", "all_exhausted"],
    BeforeValidator(lambda value: {old: new for new, old in _OF_DOCUMENTS.items()}.get(value, value)),
    PlainSerializer(_OF_DOCUMENTS.__getitem__, when_used="json"),
]
"""The words of `datasets.interleave_datasets`; plans and locks keep those that they always had."""


class Data(Document):
    """The rows that the model learns from and is measured on."""

    model_config = ConfigDict(populate_by_name=True, loc_by_alias=False)

    EFFECT: ClassVar[Effect] = Effect.DATA

    source: Sources
    """Where the rows are: a file, or a list of files that are mixed."""
    stopping_strategy: StoppingStrategy = Field(default="first_exhausted", alias="exhausted")
    """What ends an epoch of weighted sources: `first_exhausted` when the first of them has no new row left,
    `all_exhausted` when every row of all of them was seen, the smaller ones more than once, as in
    `datasets.interleave_datasets`. Default: first_exhausted, since repeated rows are learned by heart."""
    fields: dict[str, str] = Field(default_factory=dict)
    """Which column plays which part in the task, such as `{text: message, label: class}`. Default: columns are named
    like the parts themselves."""
    empty: Literal["error", "drop"] = "error"
    """What a row leads to in which a text, a label or another part that the task can't do without is empty: `error`
    stops, `drop` leaves the row out; the plan counts such rows and the lock keeps the count. Default: error, since many
    empty rows are a sign of a broken export."""
    labels: LabelRules = LabelRules.usual()
    """How labels are read."""
    split: Split = Split.usual()
    """How rows are divided."""
    quality: QualityRules = QualityRules.usual()
    """What is looked for in the rows."""
    augment: Augment | None = None
    """Variants of training rows. Default: none, since real rows teach more than varied ones."""
    max_rows: int | None = Field(default=None, ge=1)
    """At most this many training rows, drawn by the split's seed; validation and test stay whole. Default: all,
    since more rows seldom make a model worse."""
    max_length: Literal["auto"] | Annotated[int, Field(ge=8)] = "auto"
    """Longest sequence in tokens; longer rows overflow. Default `auto`: the model's own limit, but at most 1,024,
    since memory and time grow with the longest row that there really is."""
    max_lost_answers: Real = Field(default=0.1, ge=0, le=1)
    """Share of a part's conversations that may lose their last answers to `max_length`; more is an error. Default: 0.1,
    since what is cut away isn't learned, and a few long rows are no reason to train on longer ones."""
    overflow: Literal["cut", "drop", "refuse"] = "cut"
    """What happens to longer rows: `cut` shortens the input and never the answer, `drop` leaves the row out, `refuse`
    stops. Default: cut, which loses no row; the plan counts how many are cut."""
