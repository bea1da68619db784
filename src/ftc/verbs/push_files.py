"""What a push sends: weights as they are, and documents without the texts of rows."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.exported import EXPORT_FILE, ExportedModel
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.merged import MERGE_FILE, MergedModel
from ftc.spec.documents.pushed import CARD, EVALUATION, LIST_FILE, PLAN, RECORD, Pushed, Target
from ftc.spec.model_formats import model_format
from ftc.spec.storage.outputs import reason_of
from ftc.spec.storage.reading import LARGEST_DOCUMENT, read_regular
from ftc.spec.strategies import strategy_card
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from ftc.spec.documents.plan import Plan
    from ftc.spec.documents.record import GateResult
    from ftc.verbs.runs import Run

__all__ = ["Made", "Staged", "made_in", "plan_for_others", "staged"]


@dataclass(frozen=True, slots=True)
class Made:
    """A folder that was made of a run.

    Attributes:
        folder: The folder.
        document: What it says of itself.
    """

    folder: Path
    document: MergedModel | ExportedModel


@dataclass(frozen=True, slots=True)
class Staged:
    """What is to be pushed.

    Attributes:
        listed: The list of it.
        card: The model card.
        files: Files here by their paths in the repository, the list itself among them.
    """

    listed: Pushed
    card: str
    files: dict[str, Path]


def made_in(run: Run, folder: Path, waived: Collection[str]) -> Made:
    """A merged or exported model whose files are those that were written out of the run, and that keeps its gates.

    Args:
        run: The run.
        folder: The folder.
        waived: Metrics of gates that may fail with the file.

    Raises:
        Refusal: FTC770, or FTC772 where a gate failed with the exported file.
    """
    kinds: dict[str, type[MergedModel | ExportedModel]] = {MERGE_FILE: MergedModel, EXPORT_FILE: ExportedModel}
    name = next((one for one in kinds if (folder / one).is_file()), None)
    help = f"`ftc run merge {run.record.id}` and `ftc run export {run.record.id} --format gguf` write such folders"
    if name is None:
        summary = f"`{folder}` is no folder that ftc merged or exported a model into"
        raise Refusal([diagnostic("FTC770", summary, help=help)])
    try:
        document = kinds[name].model_validate_json(read_regular(folder / name, LARGEST_DOCUMENT))
    except (ValidationError, OSError) as problem:
        summary = f"`{name}` in `{folder}` can't be read"
        raise Refusal([diagnostic("FTC770", summary, help=help, notes=reason_of(problem))]) from None
    if document.record_sha256 != run.record.sha256:
        summary = f"`{folder}` was made of run `{document.run_id}`, whose record is another one"
        raise Refusal([diagnostic("FTC770", summary, help=f"name that run, or make the folder again: {help}")])
    if isinstance(document, ExportedModel) and model_format(document.format) is None:
        summary = f"`{folder}` holds a model as {document.format}, which this release doesn't know"
        raise Refusal([diagnostic("FTC770", summary, help=help)])
    for path, facts in document.files.items():
        file = folder / path
        if not file.is_file() or file.is_symlink() or file_digest(file) != facts.sha256:
            summary = f"`{path}` in `{folder}` is not the file that ftc wrote"
            raise Refusal([diagnostic("FTC770", summary, help="make the folder again")])
    answers = document.answers if isinstance(document, ExportedModel) else None
    if broken := [gate for gate in (answers.gates if answers else ()) if not gate.passed and gate.metric not in waived]:
        raise Refusal(_broken_gate(document.weight_type, gate) for gate in broken)
    return Made(folder, document)


def _broken_gate(type_name: str, gate: GateResult) -> Diagnostic:
    value = "unknown" if gate.value is None else f"{gate.value:.4g}"
    summary = f"with weights in {type_name}, gate `{gate.metric} {gate.bound}` failed: it is {value}"
    help = f"export a type of more bits, or push it as it is with `--waive {gate.metric}`"
    return diagnostic("FTC772", summary, help=help)


def plan_for_others(plan: Plan, root: Path) -> Plan:
    """A plan without texts of rows and without the project's place on this machine.

    Its checksum stays that of the plan that was executed, so it is no longer its own where something was taken out.
    """
    quality, here = plan.quality, f"{root}/"
    bare = tuple(one.model_copy(update={"samples": ()}) for one in quality.findings)
    origins = {
        path: origin.model_copy(update={"reason": origin.reason.replace(here, "")})
        for path, origin in plan.origins.items()
    }
    quality = quality.model_copy(update={"findings": bare})
    return plan.model_copy(update={"quality": quality, "origins": origins})


def staged(
    run: Run, made: Made | None, repo: str, languages: Sequence[str], waived: Sequence[str], scratch: Path
) -> Staged:
    """Gathers what is pushed; documents are written into a folder of their own, weights stay where they are.

    Args:
        run: A finished run.
        made: A folder that was made of it; None for what the run itself left.
        repo: Where it goes.
        languages: Codes of the languages that the model is for, as the user named them.
        waived: What is passed over, by name.
        scratch: An empty folder for documents.

    Raises:
        OSError: A file can't be read or written.
    """
    from ftc.views.card import model_card

    target, files = _result(run, made, repo, tuple(languages))
    plan = plan_for_others(run.plan, run.root)
    (scratch / "ftc").mkdir()
    shutil.copyfile(run.folder / "record.json", scratch / RECORD)
    (scratch / PLAN).write_text(plan.to_text(), encoding="utf-8")
    card = model_card(run.plan, run.record, run.evaluation, made.document if made else None, target)
    (scratch / CARD).write_text(card, encoding="utf-8")
    files |= {path: scratch / path for path in (PLAN, RECORD, CARD)}
    without = ["plan.json"] if plan != run.plan else []
    if run.evaluation is not None:
        # No answers, no words that counted, and no groups, which are values of columns.
        swaps = run.evaluation.swaps.model_copy(update={"examples": ()}) if run.evaluation.swaps else None
        empty = {"predictions": (), "attributions": (), "slices": (), "swaps": swaps}
        bare = run.evaluation.model_copy(update=empty)
        without += ["eval.json"] if bare != run.evaluation else []
        (scratch / EVALUATION).write_text(bare.to_text(), encoding="utf-8")
        files[EVALUATION] = scratch / EVALUATION
    listed = Pushed(
        ftc_version=VERSION,
        what=target.what,
        run_id=run.record.id,
        name=run.plan.name,
        job_sha256=run.plan.job_sha256(),
        record_sha256=run.record.sha256,
        files={
            path: FileFacts(size=file.stat().st_size, sha256=file_digest(file)) for path, file in sorted(files.items())
        },
        without_rows=tuple(without),
        left_out=(),
        waived=tuple(sorted(waived)),
    )
    here = {listed.in_run(path) for path in files}
    gone = tuple(sorted(name for name in run.record.outputs if name not in here))
    listed = listed.model_copy(update={"left_out": gone})
    (scratch / LIST_FILE).write_text(listed.to_text(), encoding="utf-8")
    return Staged(listed, card, {**files, LIST_FILE: scratch / LIST_FILE})


def _result(run: Run, made: Made | None, repo: str, languages: tuple[str, ...]) -> tuple[Target, dict[str, Path]]:
    """Where the model goes, and its files by their paths there."""
    if made is None:
        what: Literal["model", "adapter"] = "model" if strategy_card(run.plan.settings.strategy).is_whole else "adapter"
        names = [name for name in run.record.outputs if name.startswith(f"{what}/")]
        files = {name.removeprefix(f"{what}/"): run.folder / name for name in names}
        return Target(repo=repo, what=what, languages=languages), files
    files = {name: made.folder / name for name in made.document.files if name != CARD}
    if isinstance(made.document, MergedModel):
        return Target(repo=repo, what="merged", languages=languages), {**files, MERGE_FILE: made.folder / MERGE_FILE}
    card = model_format(made.document.format)
    assert card is not None, "others were refused"
    files[EXPORT_FILE] = made.folder / EXPORT_FILE
    return Target(repo=repo, what=card.hub.kind, languages=languages), files
