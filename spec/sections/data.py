"""Where the rows come from, which columns are used, and how they are split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    model_validator,
)

from ftc.spec.base import Document, Effect, Real, SparseDocument
from ftc.spec.extension_points import ENTRY
from ftc.spec.names import Spelled
from ftc.spec.row_files import SEPARATED, WORKBOOKS, suffix_of
from ftc.spec.sections.augment import Augment

__all__ = [
    "MOST_FOLDS",
    "READING_KEYS",
    "SHORTEST_TEXT",
    "Data",
    "Difference",
    "HubSource",
    "LabelRules",
    "MixedHub",
    "MixedPath",
    "PathSource",
    "PresidioRules",
    "QualityRules",
    "Source",
    "Split",
    "fold_name",
]

READING_KEYS = ("delimiter", "columns", "decimal", "sheet", "reader")
"""Keys of a source that say how a file is read."""
_READ_IN = {**dict.fromkeys(("delimiter", "columns", "decimal"), SEPARATED), "sheet": WORKBOOKS}
"""Kinds of files on which such a key has an effect, by their suffixes."""
SHORTEST_TEXT = 8
"""Tokens that `max_length` leaves a text at the least."""


class PathSource(SparseDocument):
    """A file, relative to the recipe."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("columns", "decimal")

    path: str = Field(min_length=1)
    """JSON, JSON lines, CSV, TSV, Excel, OpenDocument, Parquet, Arrow, CoNLL or text file, relative to the recipe's
    folder; the suffix decides the format, and text may be in gzip, such as `rows.jsonl.gz`. Each line of a text file
    is a row with the column `text`. A folder means all data files in it, a pattern such as `shards/*.jsonl` all
    matching files, in the order of their names. A file at an `s3://`, `gs://` or `https://` address is downloaded once
    (extra `remote`) and pinned by its digest; so are all files of a folder or a pattern at `s3://` or `gs://`, such as
    `s3://bucket/train-*.parquet`."""
    delimiter: Literal[",", ";", "|", "tab"] | None = None
    """Separator of a CSV or TSV file. Default: the one that fits the header and the first rows, commas (tabs in a
    `.tsv` file) before semicolons, tabs and vertical bars."""
    columns: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None, min_length=1, max_length=10_000
    )
    """Names of the columns of a CSV or TSV file without a header line, such as `[text, label]`: its first line is then
    a row, unless it is these names, in whatever case. Default: those in the first line; ftc warns if that looks like a
    row."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of the numbers in a CSV or TSV file: with `,` a cell such as `3,5` is read as 3.5, and `1.234,5` as
    1234.5, since points are then between thousands. Default: a point, so that no text is changed."""
    sheet: str | None = Field(default=None, min_length=1)
    """Sheet of a workbook. Default: the first, where most workbooks have their rows; the plan names it."""
    reader: Annotated[str, Spelled(ENTRY)] | None = None
    """Row reader of an installed package, by package and name, such as `courtesy-metrics:tickets`, for a file of any
    other kind, or one that says where rows are fetched. A plan calls it in a process of its own, half an hour at most,
    without your environment variables; the lock pins the package's files and a digest of the rows. Default: none, so
    that the suffix decides."""

    def idle_keys(self, name: str) -> tuple[str, ...]:
        """The keys of reading that the source sets and that have no effect on a file of this name.

        A package reads a file by itself. A name without a known suffix may be that of any file.
        """
        suffix = suffix_of(name)
        if self.reader is not None:
            idle = [key for key in READING_KEYS if key != "reader"]
        else:
            idle = [key for key, suffixes in _READ_IN.items() if suffix and suffix not in suffixes]
        return tuple(key for key in idle if getattr(self, key) is not None)


class HubSource(SparseDocument):
    """A file of a data set on the hub."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("config", "split")

    hub: str = Field(min_length=1, pattern=r"^[\w.-]+/[\w.-]+$")
    """Id of the data set, such as `owner/name`."""
    file: str | None = Field(default=None, min_length=1)
    """Path of the file inside the data set. Default: the only data file, or the only one named for training; the lock
    pins it. If there are several, ftc lists them for you to choose."""
    config: str | None = Field(default=None, min_length=1)
    """Configuration in the data set's README.md, where it lists several, such as a language. Needs `split`. Default:
    the only one, or the one that the data set marks as its default."""
    split: str | None = Field(default=None, min_length=1)
    """Split of the data set, such as `train`: all of its files, which the lock pins. Instead of `file`. Default: none,
    so that one file is read."""
    revision: str | None = Field(default=None, min_length=1)
    """Branch, tag or commit. Default: the main branch; the lock pins its commit."""

    @model_validator(mode="after")
    def _names_a_file_or_a_split(self) -> Self:
        if self.file is not None and (self.split or self.config):
            raise ValueError("`file` names one file, `split` all files of a split: leave out one of them")
        if self.config is not None and self.split is None:
            raise ValueError("`config` needs `split`, such as `split: train`")
        return self


def _kind_of_source(value: object) -> str:
    if isinstance(value, dict):
        return "from-hub" if "hub" in value else "from-path"
    return "from-hub" if isinstance(value, HubSource) else "from-path"


Source = Annotated[
    Annotated[PathSource, Tag("from-path")] | Annotated[HubSource, Tag("from-hub")], Discriminator(_kind_of_source)
]
"""A file on disk (`path`) or on the hub (`hub`)."""


class _Mixed(Document):
    """Options of one source among several."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    weight: Annotated[Real, Field(gt=0)] | None = None
    """This source's weight in an epoch, relative to the other sources. Default: none for all sources, so that all rows
    of all sources are trained on."""
    fields: dict[str, str] | None = None
    """Maps the task's fields, and columns that `task.prompt` names, to this file's columns where it names them
    differently, such as `{completion: reply, question: subject}`. Default: as in `data.fields`."""
    only_train: bool = False
    """Train on all rows and evaluate on none: for general data against forgetting. Default: no, so that each source
    contributes to every part of the split."""


class MixedPath(PathSource, _Mixed):
    """A file relative to the recipe, one of several sources."""


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
"""One file, or a list of several files that are mixed."""


def _kind_of_share(value: object) -> str:
    return "as-source" if isinstance(value, dict | PathSource | HubSource) else "as-share"


Share = Annotated[
    Annotated[Annotated[Real, Field(ge=0, lt=1)], Tag("as-share")] | Annotated[Source, Tag("as-source")],
    Discriminator(_kind_of_share),
]
"""Part of the rows as a share, or a file of its own."""


MOST_FOLDS = 20


def fold_name(number: int, folds: int) -> str:
    """A fold as a recipe has it, counted from 1."""
    return f"{number} of {folds}"


def _is_fold(text: str) -> str:
    if text not in (fold_name(number, folds) for folds in range(2, MOST_FOLDS + 1) for number in range(1, folds + 1)):
        raise ValueError(f"write a fold as `2 of 5`, of 2 to {MOST_FOLDS} folds")
    return text


class Split(SparseDocument):
    """How rows are split. All rows that are not validation or test rows are training rows."""

    EFFECT: ClassVar[Effect] = Effect.DATA
    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("fold",)

    validation: Share = 0.1
    """Share of the rows, or a separate file, for choosing the best checkpoint. `0` for none. Default: 0.1, enough to
    compare checkpoints while most rows train."""
    test: Share = 0.1
    """Share of the rows, or a separate file, for the final evaluation, which happens once, at the very end. `0` for
    none. Default: 0.1, as much as validation."""
    stratify: str | None = Field(default=None, min_length=1)
    """Column whose values keep their proportions in every part (stratified split). Default: the label in a
    classification task, so that no class is missing by chance; otherwise none."""
    group: str | None = Field(default=None, min_length=1)
    """Column whose values name groups, such as a customer or a document: all rows of a group go to the same part, so
    that the model is not evaluated on text it has half seen. Default: none, so that only duplicate rows stay
    together."""
    together: Literal["copies", "alike"] = "alike"
    """Which rows stay in one part: `copies` (exact duplicates), or `alike` (also near duplicates: equal except for
    case and punctuation, or by `data.quality.similarity`). Default: `alike`, because a test row with a near duplicate
    in training measures memory."""
    time: str | None = Field(default=None, min_length=1)
    """Column of dates (ISO 8601 text or numbers): the newest rows become test rows, the ones before validation, the
    oldest training, as when the model is used later. Rows that stay `together` go where the oldest of them goes; the
    plan counts those that break the order. Default: none, because most rows have no date."""
    by: Literal["share", "hash"] = "share"
    """`share` gives each part its exact size. `hash` decides by each row's own digest, so that no row changes its part
    when others are added, and sizes are approximate. Default: share, so that small parts get the requested size."""
    fold: Annotated[str, AfterValidator(_is_fold)] | None = None
    """One fold of a cross-validation, such as `2 of 5`: the rows that are not test rows are divided into so many folds,
    with the same strata and groups as the split; this one is validation, the others are training rows. `ftc sweep`
    with `folds: 5` trains each of them. Default: none, so that `validation` is a share."""
    seed: int = Field(default=17, ge=0, lt=2**32)
    """Random seed of the split, separate from `train.seed`, so that another training seed never moves a row between
    parts. Default: 17, a fixed number so that everybody gets the same parts."""

    @property
    def fold_of(self) -> tuple[int, int] | None:
        """Number of the fold, from 1, and of how many it is; None where validation is a share."""
        if self.fold is None:
            return None
        number, _, folds = self.fold.partition(" of ")
        return int(number), int(folds)


class PresidioRules(Document):
    """Which of presidio's patterns are looked for beside ftc's own (extra `pii`). No language model is loaded, so names
    are not found, and nothing is downloaded.
    """

    EFFECT: ClassVar[Effect] = Effect.DATA

    countries: tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...] = Field(default=(), max_length=30)
    """Countries whose own numbers are searched for, by presidio's two letters, such as `[us, uk]`: social security,
    tax, passports and similar. Default: none except what exists in every country (credit cards, accounts, e-mail
    and other addresses, wallets, telephone numbers), because almost any long number is valid in some country."""
    least_score: Real = Field(default=0.4, ge=0, le=1)
    """Minimum score of presidio, from 0 to 1. Default: 0.4, its score for telephone numbers; a match with valid check
    digits has 1, plain digits have less than 0.4."""


Difference = Literal["case", "space", "unicode"]
"""`case`: small and capital letters. `space`: white space and invisible characters. `unicode`: one character or two for
the same letter (NFC)."""


class LabelRules(Document):
    """How labels are normalized."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    normalize: tuple[Difference, ...] = Field(default=(), max_length=3)
    """Differences between labels that do not make separate classes: `case`, `space` and `unicode`. The class uses the
    spelling in `task.labels`, otherwise the most frequent one, so that `SMS` and `Billing` stay as they are; the
    plan lists what was changed. Default: none, because only you know whether `us` and `US` are the same; ftc warns
    about such labels."""


class QualityRules(Document):
    """Which data quality checks run, and what they accept."""

    EFFECT: ClassVar[Effect] = Effect.DATA

    similarity: Annotated[Real, Field(ge=0.5, le=1)] | None = 0.9
    """Jaccard similarity of the word 4-grams of two texts from which they are near duplicates; `null` disables the
    check. Default: 0.9, which finds edited texts but not texts on the same topic."""
    allow_overlap: Real = Field(default=0.0, ge=0, le=1)
    """Share of validation or test rows that may be duplicates or near duplicates of training rows (leakage); more is
    an error. Default: 0, because such rows make the score too high."""
    secrets: Literal["warn", "refuse"] = "warn"
    """What happens if rows contain API keys, passwords or private keys. Default: warn, because most of them are
    examples."""
    personal: Literal["report", "warn", "refuse"] = "report"
    """What happens if rows contain e-mail addresses, telephone, credit card or account numbers. Default: report,
    because only you know the purpose of the rows; the plan counts them."""
    presidio: PresidioRules | None = None
    """Let presidio count personal data as well, by its kinds, such as `{countries: [us]}`; its findings are treated as
    `personal` says. Default: none, because ftc's own rules need no further package; its release is in the lock.
    Takes one to five milliseconds for a row of a thousand letters, once."""
    annotations: tuple[str, ...] = Field(default=(), max_length=50)
    """Columns with the labels of several annotators; the plan reports their agreement beyond chance. Default: none,
    because most data has one label per row."""


_OF_DOCUMENTS = {"first_exhausted": "stop", "all_exhausted": "repeat"}
StoppingStrategy = Annotated[
    Literal["first_exhausted", "all_exhausted"],
    BeforeValidator(lambda value: {old: new for new, old in _OF_DOCUMENTS.items()}.get(value, value)),
    PlainSerializer(_OF_DOCUMENTS.__getitem__, when_used="json"),
]
"""The words of `datasets.interleave_datasets`; plans and locks keep those that they always had."""


class Data(Document):
    """The rows for training and evaluation."""

    model_config = ConfigDict(populate_by_name=True, loc_by_alias=False)

    EFFECT: ClassVar[Effect] = Effect.DATA

    source: Sources
    """Where the rows are: a file, or a list of files that are mixed."""
    stopping_strategy: StoppingStrategy = Field(default="first_exhausted", alias="exhausted")
    """Stopping strategy of weighted sources, as in `datasets.interleave_datasets`: `first_exhausted` ends an epoch when
    the first source has no new row, `all_exhausted` when every row was used at least once, repeating smaller sources.
    Each source gives its exact share, which `datasets` draws at random. Default: first_exhausted, because repeated rows
    are memorized."""
    fields: dict[str, str] = Field(default_factory=dict)
    """Maps the task's fields to columns, such as `{text: message, label: class}`. Default: columns with the names of
    the fields."""
    empty: Literal["error", "drop"] = "error"
    """What happens to a row with an empty text, label or other required field: `error` stops, `drop` leaves the row
    out; the plan counts these rows and the lock pins the count. Default: error, because many empty rows are a sign
    of a broken export."""
    labels: LabelRules = LabelRules.usual()
    """How labels are normalized."""
    split: Split = Split.usual()
    """How rows are split."""
    quality: QualityRules = QualityRules.usual()
    """Which data quality checks run."""
    augment: Augment | None = None
    """Augmentation of training rows. Default: none, because real rows are better than augmented ones."""
    max_rows: int | None = Field(default=None, ge=1)
    """Maximum number of training rows, sampled with the split's seed; validation and test stay complete. Default: all,
    because more rows rarely make a model worse."""
    max_length: Literal["auto"] | Annotated[int, Field(ge=SHORTEST_TEXT)] = "auto"
    """Maximum sequence length in tokens; longer rows overflow. Default `auto`: the model's own limit, but at most
    1,024, because memory and time grow with the longest row."""
    max_lost_answers: Real = Field(default=0.1, ge=0, le=1)
    """Share of a part's conversations that may lose their last answers to `max_length`; more is an error. Default:
    0.1, because truncated answers are not trained on, and a few long rows are no reason for longer sequences."""
    overflow: Literal["cut", "drop", "refuse"] = "cut"
    """What happens to longer rows: `cut` truncates the input but never the answer, `drop` leaves the row out, `refuse`
    stops. Default: cut, which loses no row; the plan counts truncated rows."""
