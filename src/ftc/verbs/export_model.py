"""`ftc run export RUN --format gguf`: a finished run's model in another program's format, proved before it is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.heads import head_card
from ftc.spec.model_formats import MODEL_FORMATS, FileType, ModelFormat, file_type, model_format
from ftc.spec.quantized_weights import TORCHAO
from ftc.spec.storage.atomic_write import try_writing
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card
from ftc.verbs.beside_parent import worse_than_parent
from ftc.verbs.merge import SHARD_BYTES, inputs_of, merge_into, noted_folder, unmergeable_base
from ftc.verbs.provenance import refuse_faults
from ftc.verbs.runs import Run, find_run

if TYPE_CHECKING:
    from ftc.runtime.exports.asked import AskedFile
    from ftc.runtime.exports.job import Writer
    from ftc.spec.documents.events import EventListener
    from ftc.spec.documents.exported import ExportedModel, TemplateKept
    from ftc.spec.documents.facts import TokenizerFacts
    from ftc.views.exports.modelfile import Message, Render

__all__ = ["ROWS", "Exported", "export_model", "write_modelfile"]

_BY_CARD = "use the model's folder with transformers, as the run's card shows"
ROWS = 200
"""Most rows on which gates are checked: each is answered by both models."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported model.

    Attributes:
        run: The run whose model it is.
        folder: Where it lies.
        model: What is in it, and the proof.
    """

    run: Run
    folder: Path
    model: ExportedModel


def export_model(
    run: Run | Path | str,
    format: str,
    output: Path | str,
    *,
    weight_type: str | None = None,
    converter: Path | str | None = None,
    pre_tokenizer: str | None = None,
    rows: int = ROWS,
    waive: Collection[str] = (),
    offline: bool = False,
    on_event: EventListener | None = None,
    folder: Path | str = ".",
) -> Exported:
    """Writes a finished run's model in another program's format, and notes it in the project's ledger.

    It is compared with the tuned model on validation rows; with few bits the recipe's gates have to hold again.

    Args:
        run: The run, its folder, its id or the beginning of that, or its recipe's name.
        format: Name of one of `ftc.spec.model_formats.MODEL_FORMATS`.
        output: The folder to write, which isn't there yet.
        weight_type: Type of the weights; None for what the run was trained for, else the format's usual one.
        converter: The converter's source archive, where it was fetched by other means.
        pre_tokenizer: llama.cpp's name of how the tokenizer splits texts, where its converter doesn't know it.
        rows: Most rows on which gates are checked.
        waive: Metrics whose gates may fail with the file, and that may be worse than the earlier run's.
        offline: Whether nothing may be fetched.
        on_event: Called with each event.
        folder: Any folder of the project in which a name is looked for.

    Raises:
        Refusal: It can't be exported so (FTC650, FTC651, FTC666, FTC672) or was changed (FTC521 to FTC525, FTC620),
            the converter isn't here or fails (FTC667, FTC668), or the file isn't the tuned model (FTC669 to FTC671).
        OSError: The disk refused; nothing is left behind.
        ValueError: There is no such format or type.
    """
    card = model_format(format)
    if card is None or (weight_type or card.types[0]) not in card.types:
        raise ValueError(f"no format {format!r} with weights in {weight_type!r}")
    found = run if isinstance(run, Run) else find_run(str(run), folder)
    weight_type = weight_type or _usual_type(found, card)
    target = Path(os.path.abspath(output))  # noqa: PTH100 - a link at its end has to be seen as one
    _require_exportable(found, card, file_type(weight_type), target, waive)
    from ftc.runtime.exports.asked import AskedFile

    asked = AskedFile(
        target=target,
        format=format,
        weight_type=weight_type,
        model=found.folder / "model",
        converter=_converter(card, converter, offline=offline),
        pre_tokenizer=pre_tokenizer,
        rows=rows,
        waived=frozenset(waive),
        beside=partial(_write_beside, found, card.beside),
    )
    model = _written(found, card, asked, on_event or (lambda event: None))
    _note(found, target, model)
    return Exported(found, target, model)


def _usual_type(run: Run, card: ModelFormat) -> str:
    """The type that a run was trained for, where a format has it; else the format's usual one."""
    rounded = run.plan.settings.train.quantize_aware
    return rounded.weights if rounded is not None and rounded.weights in card.types else card.types[0]


def _converter(card: ModelFormat, archive: Path | str | None, *, offline: bool) -> Path | None:
    """The folder with llama.cpp's converter; None for a format that needs none."""
    match card.made_by:
        case "torch" | "transformers":
            return None
        case "model converter" | "adapter converter":
            from ftc.runtime.exports.converter import converter_folder

            return converter_folder(Path(archive) if archive else None, offline=offline)
        case _:
            assert_never(card.made_by)


def _require_exportable(run: Run, card: ModelFormat, weights: FileType, target: Path, waived: Collection[str]) -> None:
    """Lets pass a whole, finished run that can be written in a format, and a place for it.

    Raises:
        Refusal: FTC666, FTC672, FTC650, FTC651, FTC521 to FTC525.
    """
    if hopeless := [*_obstacles(run, card, weights, target), *worse_than_parent(run, waived)]:
        raise Refusal(hopeless)
    if target.parent.is_dir():
        try_writing(target)
    refuse_faults(run, takes_pulled=True)


def _written(run: Run, card: ModelFormat, asked: AskedFile, tell: EventListener) -> ExportedModel:
    """Writes the file, in most formats out of the whole model, which of an adapter is made first."""
    from ftc.runtime.execution.execute import Inputs
    from ftc.runtime.exports.job import export_file
    from ftc.spec.storage.paths import RunFolder

    place = next(one for one in asked.target.parents if one.is_dir())  # a system's own may be small, or in memory
    with tempfile.TemporaryDirectory(prefix=".ftc-merged-", dir=place) as scratch:
        base, streams, _ = inputs_of(run)
        if card.is_adapter:
            asked = replace(asked, model=base)
        elif not strategy_card(run.plan.settings.strategy).is_whole:
            asked = replace(asked, model=Path(scratch) / "merged")
            merge_into(run, asked.model, "float32", SHARD_BYTES, tell)
        inputs = Inputs(base, streams, run.record.observed.environment)
        return export_file(run.plan, inputs, RunFolder(run.folder), run.record, asked, _writer(card), tell)


def _writer(card: ModelFormat) -> Writer:
    from ftc.runtime.exports.gguf import write_adapter, write_gguf

    match card.made_by:
        case "model converter":
            return write_gguf
        case "adapter converter":
            return write_adapter
        case "torch":
            from ftc.runtime.exports.onnx import write_onnx

            return write_onnx
        case "transformers":
            from ftc.runtime.exports.safetensors_folder import write_folder

            return write_folder
        case _:
            assert_never(card.made_by)


def _obstacles(run: Run, card: ModelFormat, weights: FileType, target: Path) -> Iterator[Diagnostic]:
    """Why there is nothing to export, or nowhere to."""
    settings = run.plan.settings
    if not run.record.is_finished:
        help = f"`ftc apply {run.plan.recipe_file}` continues it"
        yield _refused(run, card, f"it is {run.record.status.replace('_', ' ')}", help)
    alone = strategy_card(settings.strategy).no_merging or unmergeable_base(settings)
    if (misfit := _misfit(run, card)) is not None:
        others = [one.name for one in MODEL_FORMATS if _misfit(run, one) is None and alone is None]
        yield _refused(run, card, misfit, f"write it with `--format {others[0]}`" if others else _BY_CARD)
    if card.is_adapter:
        if (unfit := settings.strategy.no_lora_file()) is not None:
            help = "`--format gguf` writes the whole model, with what was trained in it"
            yield _refused(run, card, f"what it trained doesn't fit such a file: {unfit}", help)
    elif alone is not None:
        help = "train with `strategy: {kind: lora}` beside whole weights, of which it becomes part"
        yield _refused(run, card, f"its adapter can't be merged into the base model: {alone}", help)
    if (rounded := settings.train.quantize_aware) is not None and weights.name != rounded.weights:
        why = f"it was trained for weights in {rounded.weights}, and measured with them; others give other outputs"
        fitting = (one.name for one in MODEL_FORMATS if rounded.weights in one.types and _misfit(run, one) is None)
        yield _refused(run, card, why, f"write it with `--format {next(fitting, card.name)}`")
    needs, extra = (card.needs, card.extra) if weights.quantized is None else ((TORCHAO,), TORCHAO)
    missing = [name for name in needs if find_spec(name) is None]
    if missing and misfit is None:  # packages don't help where the format doesn't take the model
        help, note = f"`pip install 'ftc[{extra}]'` installs them", f"not installed: {', '.join(missing)}"
        what = f"export --format {card.name}" + (f" --type {weights.name}" if weights.quantized else "")
        yield diagnostic("FTC650", f"`{what}` needs more packages", help=help, notes=note)
    if weights.quantized is not None and settings.train.router is not None:
        why = "its experts are one tensor a layer, and torchao quantizes linear layers alone"
        yield _refused(run, card, why, "export it with `--type bf16`")
    if os.path.lexists(target):
        help = "choose another name; nothing was changed"
        yield diagnostic("FTC651", f"`{target.name}` exists already", help=help)


def _misfit(run: Run, card: ModelFormat) -> str | None:
    """Why a format is for other kinds of models; None where it takes this kind."""
    settings, kind = run.plan.settings, run.plan.recipe.task.kind.replace("_", " ")
    head, family, form = head_card(settings.model.head), settings.model.family, form_card(settings.text.form)
    if settings.model.vision is not None:
        return "only models of text alone can be written so, and this one reads images"
    if card.takes == "all":
        return None
    if card.takes == "decoders that write":
        is_fit = family == "decoder" and head.writes
        return None if is_fit else f"the format is for decoders that write text, and this is a model for {kind}"
    if head.writes:
        return f"the format is for models that don't write, and this one, for {kind}, writes text"
    obstacles = {
        "is an encoder-decoder": family == "encoder_decoder",
        "fills in masked words": head.scores_vocabulary,
        "compares two answers": form.is_pair,
        "rates the steps of an answer": form.rates_steps,
        "reads a prompt with its answer": form.chat_template == "offered",
        "ranks the texts of a query": form.has_texts and head.is_new,
    }
    what = next((words for words, is_so in obstacles.items() if is_so), None)
    reads = "the format is for models that read one or two texts a row, or a question with its context"
    return what and f"{reads}; this one {what}"


def _refused(run: Run, card: ModelFormat, why: str, help: str) -> Diagnostic:
    return diagnostic("FTC666", f"run `{run.record.id}` can't be exported as {card.name}", notes=why, help=help)


def _write_beside(
    run: Run, kind: Literal["ollama", "program"] | None, folder: Path, file: str, adds_first: bool
) -> TemplateKept | None:
    match kind:
        case None:
            return None
        case "program":
            from ftc.views.exports.onnx_program import LABELS_FILE, labels_file, program

            (folder / "use.py").write_text(program(run.plan, file), encoding="utf-8", newline="\n")
            if (labels := labels_file(run.plan)) is not None:
                (folder / LABELS_FILE).write_text(labels, encoding="utf-8", newline="\n")
            return None
        case "ollama":
            base, streams, split = inputs_of(run)
            prompts = _prompts(run, base, streams / f"{split}.arrow")
            return write_modelfile(run, base, folder, file, adds_first=adds_first, prompts=prompts)
        case _:
            assert_never(kind)


def _prompts(run: Run, base: Path, file: Path) -> list[tuple[Sequence[Message], str]]:
    """The first rows of a stream that are conversations, each with the text that the run asks the model with."""
    from ftc.compiler.tokens.conversations import served_rows
    from ftc.spec.documents.streams import open_stream
    from ftc.spec.storage.own_tokenizer import tokenizer_folder

    if not run.plan.settings.text.uses_chat_template:
        return []
    rows = served_rows(open_stream(file), ROWS, tokenizer_folder(base, run.plan.settings.model.tokenizer))
    return [(row.messages, row.text) for row in rows if row.messages is not None and row.text is not None]


def write_modelfile(
    run: Run,
    base: Path,
    folder: Path,
    file: str,
    *,
    adds_first: bool,
    prompts: Sequence[tuple[Sequence[Message], str]] = (),
) -> TemplateKept:
    """Writes a Modelfile whose template gives the text of the model's own.

    Args:
        run: The run.
        base: Folder of its base model.
        folder: Where to.
        file: Name of the GGUF file beside it.
        adds_first: Whether llama.cpp puts the first token before each text.
        prompts: Conversations of the run's rows, each with the text that the run asks the model with.

    Raises:
        Refusal: It can't (FTC671).
    """
    from ftc.compiler.resolve.files.safe_files import read_json_object
    from ftc.compiler.resolve.models.tokenizer import read_tokenizer, token_ids
    from ftc.spec.documents.exported import TemplateKept
    from ftc.spec.storage.own_tokenizer import tokenizer_folder
    from ftc.views.exports.modelfile import CONVERSATIONS, SPACED, modelfile, parts_of

    base = tokenizer_folder(base, run.plan.settings.model.tokenizer)
    facts = read_tokenizer(base, str(read_json_object(base / "config.json", None).get("model_type")))
    settings, kept, parts = run.plan.settings, TemplateKept(kind="ollama", conversations=0, keeps_spaces=True), None
    if facts.chat_template is not None:
        with _rendering(facts) as render:
            parts = parts_of(render)
            same = (
                []
                if parts is None
                else [parts.text(*one) == wanted for one in CONVERSATIONS if (wanted := render(*one))]
            )
            spaced = parts is not None and parts.text(*SPACED) == render(*SPACED)
        asked = [] if parts is None else [parts.text(turns, True) == text for turns, text in prompts]
        if parts is None or not same or not all((*same, *asked)):
            summary = f"run `{run.record.id}`: the model's chat template can't be written as one of Ollama's"
            notes = "it is more than a text before and after each turn, so the texts differ; nothing was kept"
            help = "export it with `--format gguf`, and serve it by a program that uses the model's own template"
            raise Refusal([diagnostic("FTC671", summary, notes=notes, help=help)])
        kept = kept.model_copy(update={"conversations": len(same), "rows": len(asked), "keeps_spaces": spaced})
        if adds_first:
            parts = parts.without_first(facts.bos_token or "")
    ids = {number: text for text, number in token_ids(read_json_object(base / "tokenizer.json", None), None).items()}
    text = modelfile(
        file,
        parts,
        system=run.plan.recipe.task.system_message,
        stops=[ids[number] for number in settings.model.stop_ids],
        context=settings.text.max_length + (settings.eval.max_new_tokens or 0),
    )
    (folder / "Modelfile").write_text(text, encoding="utf-8", newline="\n")
    return kept


@contextmanager
def _rendering(facts: TokenizerFacts) -> Iterator[Render]:
    """What a model's own chat template makes of conversations, in the sandbox."""
    from ftc.compiler.tokens.sandbox import TemplateRenderer

    names = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
    known = {"tools": None, "documents": None, **{name: token for name, token in names.items() if token is not None}}
    with TemplateRenderer() as renderer:

        def render(messages: Sequence[Mapping[str, str]], generation: bool) -> str | None:
            asked = {**known, "messages": list(messages), "add_generation_prompt": generation}
            (text,) = renderer.render(facts.chat_template or "", [asked])
            return text if isinstance(text, str) else None

        yield render


def _note(run: Run, target: Path, model: ExportedModel) -> None:
    from ftc.spec.documents.ledger import ModelExported, append_entry

    append_entry(
        run.root,
        ModelExported,
        name=run.plan.name,
        run_id=run.record.id,
        job_sha256=model.job_sha256,
        folder=noted_folder(run, target),
        format=model.format,
        weight_type=model.weight_type,
        files_sha256={name: facts.sha256 for name, facts in model.files.items()},
    )
