"""A tuned model without text to write as an ONNX file, by torch's own exporter."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ftc.runtime.exports import beside, gates
from ftc.runtime.exports.job import Written
from ftc.runtime.exports.onnx_file import FileScorer, OnnxFile, opened, quantize
from ftc.runtime.exports.speed import measured, seconds_of_model
from ftc.runtime.models.base_model import FolderBase, load_base
from ftc.runtime.tasks.classification import has_token_types
from ftc.runtime.tasks.embedding import pooled
from ftc.runtime.tasks.scorer import Batch, ModelWithScorer, states_at, without_cache
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import Converter
from ftc.spec.documents.provenance import METADATA_KEY
from ftc.spec.head_programs import TRIALS, given
from ftc.spec.heads import head_card
from ftc.spec.model_formats import file_type
from ftc.spec.text_forms import form_card

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job
    from ftc.spec.documents.exported import Parity, Speed
    from ftc.spec.documents.settings import Settings

__all__ = ["write_onnx"]

_LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "tokenizers", "torch", "transformers")
_MOST_BYTES = 2_000_000_000
"""A protobuf message, which an ONNX file is, ends below 2 GiB."""
_MOST_TOKENIZED = 100
_FULL = "f32"
_MORE_BITS = "export it without `--type`, in float32"
_INSTEAD = "use the model with transformers: `ftc run merge` writes its folder"
_EXAMPLE = 2, 7
"""Rows and tokens by which the graph is traced: two different numbers above one, of which it keeps neither."""


class Graph(nn.Module):
    """A model as a function of a batch alone: no cache, and around it what the task's scorer computes.

    Args:
        model: The whole model.
        settings: The plan's.
    """

    def __init__(self, model: Any, settings: Settings) -> None:
        super().__init__()
        self.model = model
        head = head_card(settings.model.head)
        self._names, self._vectors = head.file_outputs, settings.train.embedding
        self._reads_last = settings.model.family == "decoder" and head.is_new and head.scores_rows
        self._options = without_cache(model)
        self.takes_types = has_token_types(model) and not (self._vectors or head.scored == "target")

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The outputs for (B, T) inputs, in the order of the head's names.

        A decoder's head reads a row's last token, which transformers looks for by the padding id; here the mask tells.
        """
        length = input_ids.shape[1]
        ends = torch.arange(len(input_ids)) * length + attention_mask.sum(dim=1) - 1
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **self._options}
        if self._reads_last:
            states = self.model.base_model(**inputs).last_hidden_state
            return (self.model.score(states_at(states, ends, length)).float(),)
        if self._vectors is not None:
            batch = Batch(input_ids, attention_mask, ends, ends, ends)
            return (pooled(self.model(**inputs).last_hidden_state, batch, self._vectors.pooling),)
        if self.takes_types:
            inputs["token_type_ids"] = token_type_ids
        output = self.model(**inputs)
        return tuple(getattr(output, name).float() for name in self._names)


def write_onnx(job: Job, folder: Path) -> Written:
    """Writes the model with its tokenizer; see `Writer`."""
    session, asked = job.session, job.asked
    settings, is_full = session.plan.settings, asked.weight_type == _FULL
    file = folder / f"{session.plan.name}{'' if is_full else f'-{asked.weight_type}'}.onnx"
    full = file if is_full else job.scratch / "full.onnx"
    with session.journal.phase("export", f"{_FULL} by torch's exporter"):
        takes_types = _write(job, full)
        tokenized = _tokenized(job, folder)
    session.stop.check()
    with _working(job, full, takes_types=takes_types) as (work, runtime):
        parity = conversion = _compared(job, work, runtime, _FULL, help=_INSTEAD)
        answers = beside.answers(job, job.tuned(), work, help=_INSTEAD) if is_full else None
        speed = _speed(job, work, runtime) if is_full else None
    if not is_full:
        with session.journal.phase("export", f"{asked.weight_type} by onnxruntime's quantizer"):
            quantize(full, file, job.scratch)
        session.stop.check()
        with _working(job, file, takes_types=takes_types) as (work, runtime):
            parity = _compared(job, work, runtime, asked.weight_type, help=_MORE_BITS)
            answers = beside.answers(job, job.tuned(), work, help=_MORE_BITS)
            speed = _speed(job, work, runtime)
    asked.beside(folder, file.name, False)
    head = head_card(settings.model.head)
    return Written(
        converter=Converter(name="torch.onnx", version=str(torch.__version__), sha256=None),
        libraries=_LIBRARIES,
        tensor_types=_types(file),
        conversion=conversion,
        parity=parity,
        tokenized=tokenized,
        answers=answers,
        speed=speed,
        texts=TRIALS[given(settings.text.columns, finds_spans=head.finds_spans)],
    )


@contextmanager
def _working(job: Job, file: Path, *, takes_types: bool) -> Iterator[tuple[ModelWithScorer, OnnxFile]]:
    """The tuned model's scorer with a file in the place of the model, as long as the block runs, and what computes."""
    tuned, settings = job.tuned(), job.session.plan.settings
    with opened(file, job.scratch, settings.device.threads) as runtime:
        scorer = FileScorer(tuned.scorer, runtime, head_card(settings.model.head), takes_types=takes_types)
        yield ModelWithScorer(tuned.model, scorer), runtime


def _compared(job: Job, work: ModelWithScorer, runtime: OnnxFile, type_name: str, *, help: str) -> Parity:
    """A file's scores beside the tuned model's.

    Raises:
        Refusal: They are others (FTC669).
    """
    with job.session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
        found = beside.compared(job, work, runtime.runtime, file_type(type_name))
        gates.require(found, f"the ONNX file in {type_name}", help=help)
    return found


def _speed(job: Job, work: ModelWithScorer, runtime: OnnxFile) -> Speed:
    """How quickly a file reads, by the clock of the process that computes with it."""
    return measured(job, lambda: seconds_of_model(job, work, lambda: runtime.seconds))


def _write(job: Job, file: Path) -> bool:
    """Writes the file; returns whether it takes token types as an input.

    Raises:
        Refusal: It would be too large (FTC666), or torch can't export the model (FTC668).
    """
    settings = job.session.plan.settings
    model = load_base(settings, FolderBase(job.asked.model), is_new=False, dtype=torch.float32).eval()
    size = sum(one.numel() * one.element_size() for one in model.parameters())
    if size > _MOST_BYTES:
        summary = f"run `{job.session.state.record.id}` can't be exported as {job.asked.format}"
        why = f"its weights take {size / 1e9:.1f} GB in float32, and an ONNX file holds 2 GB"
        raise Refusal([diagnostic("FTC666", summary, notes=why, help=_INSTEAD)])
    graph = Graph(model, settings).eval()
    rows, length = _EXAMPLE
    ids = torch.arange(rows * length).view(rows, length) % model.config.vocab_size
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if graph.takes_types else [])]
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    free = torch.export.Dim.DYNAMIC
    head = head_card(settings.model.head)
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                graph,
                kwargs={name: example[name] for name in names},
                dynamo=True,
                verbose=False,
                dynamic_shapes={name: {0: free, 1: free} for name in names},
                input_names=names,
                output_names=list(head.file_outputs),
            )
    except Exception as problem:  # noqa: BLE001 - the exporter runs the model's own code, which may raise anything
        summary = f"torch's exporter ({torch.__version__}) can't convert this model"
        notes = [line.strip()[:300] for line in str(problem).splitlines() if line.strip()][:3]
        raise Refusal([diagnostic("FTC668", summary, notes=notes or [type(problem).__name__], help=_INSTEAD)]) from None
    _finish(program.model, job.origin)
    program.save(str(file), external_data=False)
    return graph.takes_types


def _finish(model: Any, origin: str) -> None:
    """Names the free dimensions, says where the model comes from, and takes out where torch's code lies here."""
    import onnx_ir

    for value in (*model.graph.inputs, *model.graph.outputs):
        fixed = [size if isinstance(size, int) else None for size in value.shape]
        named = [size if size is not None else name for size, name in zip(fixed, ("batch", "length"), strict=False)]
        value.shape = onnx_ir.Shape([*named, *fixed[len(named) :]])
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props[METADATA_KEY] = origin


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own words, which no user can act on."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _types(file: Path) -> Counter[str]:
    import onnx

    made = onnx.load(str(file))
    return Counter(onnx.TensorProto.DataType.Name(one.data_type) for one in made.graph.initializer)


def _tokenized(job: Job, folder: Path) -> int:
    """Writes the tokenizer as the model's own library uses it; gives how many rows it splits as the run did.

    Raises:
        Refusal: It splits one otherwise (FTC669).
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    known: Any = AutoTokenizer.from_pretrained(job.asked.model, local_files_only=True)
    file = folder / "tokenizer.json"
    file.write_text(known.backend_tokenizer.to_str(), encoding="utf-8")
    alone: Any = Tokenizer.from_file(str(file))
    alone.no_truncation()
    alone.no_padding()
    rows: list[list[tuple[list[str], list[int]]]] = []
    for number in range(min(len(job.rows), _MOST_TOKENIZED)):
        row = [
            ([known.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in parts], whole)
            for parts in _texts_of(job, number)
            for whole in [[one for part in parts for one in part]]
        ]
        if all(known(*texts)["input_ids"] == ids for texts, ids in row):
            rows.append(row)
    same = sum(all(alone.encode(*texts).ids == ids for texts, ids in row) for row in rows)
    if same < len(rows):
        summary = f"tokenizer.json splits {len(rows) - same} of {len(rows)} rows otherwise than the run"
        raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=_INSTEAD)])
    return same


def _texts_of(job: Job, number: int) -> list[list[list[int]]]:
    """Tokens of each text that the tokenizer was given of a row, or of both texts of the pair that it was given."""
    ids, first = job.rows.ids(number).tolist(), job.rows.prompt_length(number)
    if form_card(job.session.plan.settings.text.form).has_texts:
        return [[text.tolist()] for text in job.rows.marked(number)]
    return [[ids[:first], ids[first:]] if 0 < first < len(ids) else [ids]]
