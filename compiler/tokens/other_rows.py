"""Rows of another file as a run's plan would have read them: for measuring a finished run on data of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ftc.compiler.quality.contamination import with_other_rows
from ftc.compiler.quality.spellings import spellings
from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.image_processor import sized
from ftc.compiler.resolve.models.model_config import read_config
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.rows.canonical_rows import write_canonical
from ftc.compiler.resolve.rows.cleaning import EmptyRows, respell
from ftc.compiler.resolve.rows.columns import Columns, missing_columns
from ftc.compiler.resolve.rows.images import ImageStore, image_columns, read_images
from ftc.compiler.resolve.rows.joint_checks import check_together
from ftc.compiler.resolve.rows.labels import Labeled, labels_of
from ftc.compiler.resolve.rows.prompt_columns import prompt_columns
from ftc.compiler.resolve.rows.reading import Reading
from ftc.compiler.resolve.rows.row_checks import check_values, value_faults
from ftc.compiler.resolve.rows.table import Home, PartRows, Table
from ftc.compiler.resolve.rows.tables import read_rows
from ftc.compiler.tokens.answer_frames import FramedRows, Reader, framed_rows
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.every_pair import every_pair
from ftc.compiler.tokens.forms import TextForm
from ftc.compiler.tokens.image_tokens import tokens_of_images
from ftc.compiler.tokens.probes import groups_of
from ftc.compiler.tokens.rated_rows import write_other_answers
from ftc.compiler.tokens.row_form import Wording, row_form
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.stream_manifest import kept_streams
from ftc.compiler.tokens.stream_writer import write_images, write_stream
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.companions import Role, companion
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.lockfile import LockedSplit
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.probes import scoring_models, with_frames
from ftc.spec.documents.quality import QualityReport
from ftc.spec.documents.reward_models import frames_file
from ftc.spec.documents.slices import EARLIER, LABEL, LENGTH, NO_VALUE
from ftc.spec.documents.stream_images import IMAGES_FILE
from ftc.spec.documents.streams import SplitReport, open_stream
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.row_files import SEPARATED, SUFFIXES, suffix_of
from ftc.spec.storage.atomic_write import write_text
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.tasks import PARTS, Task
from ftc.spec.tasks.rows import LabelRows, PairRows, RatedRows

__all__ = [
    "OPTIONAL",
    "check_labeled",
    "compile_table",
    "labeled_rows",
    "measuring",
    "planned_vision",
    "read_other",
    "without_probes",
]

OPTIONAL = ("optional text", "tools", "history", "images")
"""Values of parts whose column a file may lack."""

_MOST_NAMED = 12
_OF_PROBES = ("forgetting", "swapped")
"""Figures that come from rows beside the test split; judge and classifier read any rows' answers."""


def read_other(plan: Plan, file: Path, shown_as: str) -> Table:
    """The rows of another file, of any kind that a recipe can name; images lie beside it.

    A package that reads the run's own files reads those with the same end of their names, and those of which only it
    knows how. Where the recipe names the columns, since the run's files have no header, this file may have one or not.

    Args:
        plan: The run's plan.
        file: The rows.
        shown_as: The file as the user calls it.

    Raises:
        Refusal: The file can't be read (FTC350 to FTC360, FTC485), or has none of the columns that the run's files have
            no header for (FTC362).
    """
    reads_images = plan.settings.model.vision is not None
    asked = [one.asked for one in plan.lock.data.sources.values()]
    own = [one for one in asked if one.get("reader")]
    names = [(str(one.get("path") or one.get("file")), str(one["reader"])) for one in own]
    known = {suffix_of(name) or PurePosixPath(name).suffix.lower(): reader for name, reader in names}
    suffix, others = suffix_of(file.name) or file.suffix.lower(), {*known.values()}
    reader = known.get(suffix, min(others) if len(others) == 1 and suffix not in SUFFIXES else None)
    is_separated = file.name.lower().endswith(SEPARATED)
    has_commas = is_separated and any(one.get("decimal") == "," for one in asked)
    images = image_columns(plan.recipe.data) if reads_images else ()
    reading = Reading(reader=reader, images=images, has_commas=has_commas)
    named = next((tuple(one["columns"]) for one in asked if one.get("columns")), None)
    if named is None or not is_separated:
        return replace(read_rows(file, shown_as, None, reading), home=Home.beside(file))
    table = read_rows(file, shown_as, None, replace(reading, columns=named, may_have_header=True))
    if not {*named, *plan.settings.text.columns.values()} & {*table.columns}:
        raise Refusal([_odd_header(table, named)])
    return replace(table, home=Home.beside(file))


def _odd_header(table: Table, named: Sequence[str]) -> Diagnostic:
    """The finding for a first line that has no name of the run's, where the run's own files have no header."""
    listed, found = (", ".join(f"`{name[:64]}`" for name in some[:_MOST_NAMED]) for some in (named, table.columns))
    return diagnostic(
        "FTC362",
        f"the first line of {table.file} has none of the run's columns, and does not look like a row",
        Span(table.file, 1, 1, 1, 2),
        help=[
            "if it is a row, put the names above it as a first line",
            "if it is a header, rename its columns as the run's",
        ],
        notes=[f"the run's columns: {listed}", f"the first line: {found}"],
        path="data.source",
    )


def check_labeled(plan: Plan, table: Table) -> None:
    """Refuses rows that lack a column that the run was trained on.

    Raises:
        Refusal: FTC362 or FTC368.
    """
    if lacking := _lacking(plan, table):
        task = plan.recipe.task
        by_part = {part: name for part, name in plan.settings.text.columns.items() if name in lacking}
        columns = Columns(by_part, own=tuple(one for one in task.own_columns if one in lacking), own_key=task.own_key)
        raise Refusal([*missing_columns(columns, plan.recipe.data, table, lambda path: None)])


def _lacking(plan: Plan, table: Table) -> set[str]:
    """Columns that the run was trained on and a table lacks."""
    columns = plan.settings.text.columns.items()
    own = plan.recipe.task.settled(plan.settings.model.family).own_columns
    return {*own, *(column for part, column in columns if PARTS[part].values not in OPTIONAL)} - {*table.columns}


def labeled_rows(plan: Plan, table: Table) -> list[int]:
    """Numbers of the rows that have all that the run was trained on, answers among it; none where a column lacks."""
    if _lacking(plan, table):
        return []
    task = plan.recipe.task.settled(plan.settings.model.family)
    columns = Columns(plan.settings.text.columns, own=task.own_columns)
    faulty = {row for _, faults in value_faults(task, columns, table) for rows in faults.values() for row in rows}
    return [row for row in range(len(table.rows)) if row not in faulty]


def compile_table(
    plan: Plan, model_folder: Path, table: Table, folder: Path, scorers: Mapping[Role, Path] = MappingProxyType({})
) -> Plan:
    """Writes rows as the test split of a plan, and gives that plan.

    Args:
        plan: The run's plan: its columns, labels, prompt and lengths hold.
        model_folder: Where tokenizer and template lie.
        table: The rows, which are brought into the form that is encoded.
        folder: Where the stream goes.
        scorers: Folders of the plan's reward models that score answers to these rows, by role.

    Raises:
        Refusal: The rows can't be used (FTC350 to FTC388), a reward model can't read them (FTC459), or the columns of
            the plan's slices aren't there (FTC241).
    """
    task, text = plan.recipe.task.settled(plan.settings.model.family), plan.settings.text
    template = task.template
    in_prompt = prompt_columns(template, tuple(text.columns.values())) if template else ()
    columns = Columns(text.columns, in_prompt, own=task.own_columns, own_key=task.own_key)
    reads_images = plan.settings.model.vision is not None
    write_canonical(task, columns, table)
    table = EmptyRows(plan.recipe.data, task).without("rows", columns, table)
    found = [*missing_columns(columns, plan.recipe.data, table, lambda path: None), *check_values(task, columns, table)]
    found = found or list(check_together(task, columns, table))
    if any(one.is_error for one in found):
        raise Refusal(found)
    vision = planned_vision(plan, model_folder)
    store, unusable = read_images(columns, {"test": table}, vision) if reads_images else (ImageStore(vision), [])
    if unusable:
        raise Refusal(unusable)
    part = PartRows.whole(table)
    labeled = labels_of(task, columns)
    if labeled:
        _spell(plan, task, labeled, table, part)
    if isinstance(task.rows(), PairRows):
        part = every_pair({"test": part}, text.columns)[0]["test"]
    if isinstance(task.rows(), RatedRows):
        write_other_answers(part, text.columns)
    form, rows = _encoded(plan, task, model_folder, part, store)
    if not len(rows.row):
        help = "use rows that fit into the run's maximum length"
        raise Refusal([diagnostic("FTC371", f"no row of {table.file} can be evaluated", help=help)])
    report = write_stream(folder / "test.arrow", rows, part.place)
    if store.pictures:
        write_images(folder / IMAGES_FILE, store.contents())
    has_class = task.mode_for(plan.settings.model.family).labels == "one"
    builtin = (LENGTH, LABEL) if has_class else (LENGTH,)
    nobody = {EARLIER: [NO_VALUE] * len(rows.row)}  # the rows of this file are nobody's test split
    groups = groups_of(plan.settings.eval.slices, part, rows.row.tolist(), builtin, nobody)
    write_text(folder / "groups.json", groups.to_text())
    frames = _framed(framed_rows(_readers(plan, scorers), {"test": part}, form, {"test": rows}), folder)
    measured = without_probes(measuring(plan, report, groups.digest() if groups.columns else None), frames)
    counts = dict(labeled.count(part.rows)) if labeled else {}
    return measured.model_copy(update={"quality": _shared(plan, rows, counts)})


def _spell(plan: Plan, task: Task, labeled: Labeled, table: Table, part: PartRows) -> None:
    """Writes labels as the run spells them.

    Raises:
        Refusal: The run doesn't have one of them (FTC372).
    """
    text = plan.settings.text
    labeled.write_as_text([table])
    spelled = spellings(labeled.count(part.rows), plan.recipe.data.labels.normalize, text.labels)
    respell(labeled, [table], spelled if isinstance(task.rows(), LabelRows) else {})
    known = {*text.labels, *(tag[2:] for tag in text.labels if tag[:2] in ("B-", "I-"))}
    if unknown := [name for name in labeled.count(part.rows) if name not in known]:
        listed = ", ".join(f"`{name[:64]}`" for name in sorted(unknown)[:5])
        help = f"the run's labels: {', '.join(text.labels[:12])}"
        summary = f"{table.file} has labels that the run does not have: {listed}"
        raise Refusal([diagnostic("FTC372", summary, help=help)])


def _shared(plan: Plan, rows: TokenRows, counts: dict[str, int]) -> QualityReport:
    """Which classes the rows have, and what they share with those that the run learned from, as far as these are still
    in the cache.
    """
    report = plan.quality
    if report.labels:
        report = report.model_copy(update={"labels": {**report.labels, "test": counts}})
    streams = kept_streams(plan)
    if streams is None:
        return report.model_copy(update={"contamination": (), "chosen_by": 0, "trained_on": None})
    train = open_stream(streams / "train.arrow")
    valid = open_stream(streams / "validation.arrow") if "validation" in plan.data else None
    vision = plan.settings.model.vision
    return with_other_rows(report, rows, train, valid, vision.image_token_id if vision else None)


def measuring(plan: Plan, report: SplitReport, groups_sha256: str | None) -> Plan:
    """The plan with nothing but a test split: what is verified before it is measured, and what is measured."""
    locked = LockedSplit(rows=report.rows, tokens=report.tokens, stream_sha256=report.stream_digest)
    lock = plan.lock.model_copy(update={"data": plan.lock.data.model_copy(update={"splits": {"test": locked}})})
    # Prompts were made for the run's own test rows.
    evaluate = plan.settings.eval.model_copy(update={"groups_sha256": groups_sha256, "baselines": ()})
    train = plan.settings.train.model_copy(update={"distillation": None})  # who taught is asked for nothing more
    settings = plan.settings.model_copy(update={"eval": evaluate, "train": train})
    return plan.model_copy(update={"lock": lock, "data": {"test": report}, "settings": settings})


def without_probes(plan: Plan, frames: Mapping[Role, str] = MappingProxyType({})) -> Plan:
    """The plan without what belongs to the run's own test rows, or lies beside them.

    Args:
        plan: A plan.
        frames: Digests of the text around answers to its test split, by reward model; the others score none.
    """
    none: dict[str, None] = dict.fromkeys(("retention_sha256", "swaps_sha256"))
    evaluate = plan.settings.eval.model_copy(update=none)
    train = plan.settings.train.model_copy(update={"distillation": None})  # who taught is asked for nothing more
    settings = with_frames(plan.settings.model_copy(update={"eval": evaluate, "train": train}), frames)
    scored = () if settings.eval.reward_model is not None else ("reward_model",)
    gates = {name: gate for name, gate in evaluate.gates.items() if name not in (*_OF_PROBES, *scored)}
    settings = settings.model_copy(update={"eval": settings.eval.model_copy(update={"gates": gates})})
    # What is known of the run's own test rows says nothing of these.
    quality = plan.quality.model_copy(update={"contamination": (), "chosen_by": 0, "trained_on": 0})
    return plan.model_copy(update={"settings": settings, "quality": quality})


def _framed(framed: Mapping[Role, FramedRows], folder: Path) -> dict[Role, str]:
    """Writes the text around answers, and gives its digest by reward model."""
    for role, one in framed.items():
        write_text(folder / frames_file(role), one.frames.to_text())
    return {role: one.facts.sha256 for role, one in framed.items()}


def _readers(plan: Plan, scorers: Mapping[Role, Path]) -> dict[Role, Reader]:
    """What reading rows needs of the reward models that lie in these folders."""
    found = dict[Role, Reader]()
    for role, known in scoring_models(plan.settings).items():
        if role in scorers:
            folder, path = scorers[role], companion(role).base(plan.recipe)
            config = read_config(read_json_object(folder / "config.json", None))
            tokenizer = read_tokenizer(folder, config.model_type)
            found[role] = Reader(known.base, tokenizer, known.steps, path, folder)
    return found


def planned_vision(plan: Plan, model_folder: Path) -> VisionFacts | None:
    """What the run's model reads images with; None for one that reads text alone."""
    if plan.settings.model.vision is None:
        return None
    config = read_config(read_json_object(model_folder / "config.json", None))
    return sized(config.vision, model_folder, plan.settings.model.vision)


def _encoded(
    plan: Plan, task: Task, model_folder: Path, part: PartRows, store: ImageStore
) -> tuple[TextForm, TokenRows]:
    """What a row's text is, and the rows as tokens."""
    text = plan.settings.text
    texts = tokenizer_folder(model_folder, plan.settings.model.tokenizer)
    tokenizer = TextTokenizer(texts / "tokenizer.json")
    config = read_config(read_json_object(model_folder / "config.json", None))
    facts = read_tokenizer(texts, config.model_type)
    wording = Wording(text.form, text.prompt, text.system, plan.settings.model.family, facts.eos_id)
    form = row_form(task, text.columns, text.labels, wording, part.rows)
    with TemplateRenderer() as renderer:
        rows = encode_rows(
            part.rows,
            form,
            tokenizer,
            facts,
            renderer,
            max_length=text.max_length,
            cuts=text.overflow == "cut",
            numbers=part.numbers,
            place=part.place,
            images=tokens_of_images(store.vision, tokenizer, store.pictures),
        )
    return form, rows
