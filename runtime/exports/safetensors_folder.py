"""A tuned model as a folder of safetensors, as transformers and vLLM load it, proved like every other format."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from ftc.runtime.artifacts.merge import write_weights
from ftc.runtime.artifacts.merged_weights import MergedWeights, NotFinite
from ftc.runtime.exports import beside, gates
from ftc.runtime.exports.job import Written
from ftc.runtime.exports.quantized_folder import require_rounded, write_quantized
from ftc.runtime.exports.speed import measured, seconds_of_model
from ftc.runtime.models.base_model import FolderBase, load_base
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.quantized_layers import round_in_training
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import Converter
from ftc.spec.model_formats import file_type
from ftc.spec.precisions import number_type
from ftc.spec.quantized_weights import TORCHAO
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job
    from ftc.spec.documents.exported import Parity
    from ftc.spec.model_formats import FileType

__all__ = ["write_folder"]

_LIBRARIES = ("safetensors", "torch", "transformers")
_SHARD_BYTES = 5 * 10**9
"""Most bytes of weights in one file, as transformers writes them."""
_MORE_BITS = "export it with `--type f32`"
_PLAIN_BITS = "export it with `--type bf16`"
_SAME_BITS = "load the run with `ftc predict`, which is unaffected; `ftc audit` says whether its files are whole"


def write_folder(job: Job, folder: Path) -> Written:
    """Writes weights, configuration and tokenizer; see `Writer`.

    What is compared is computed in float32 from the weights as they were written, so that the proof is of the file and
    not of a CPU's arithmetic in 16 bits.
    """
    session, bound = job.session, file_type(job.asked.weight_type)
    settings, card = session.plan.settings, bound.quantized
    more_bits = _SAME_BITS if bound.plain == "float32" else _MORE_BITS if card is None else _PLAIN_BITS
    conversion = None
    whole: Any = load_base(settings, FolderBase(job.asked.model), is_new=False, dtype=torch.float32).eval()
    if (rounded := settings.train.quantize_aware) is not None:
        round_in_training(whole, rounded)  # as it was measured
        more_bits = _SAME_BITS  # other types are refused
    if card is not None:
        exact = file_type("f32")
        with session.journal.phase(
            "compare", f"{len(job.reference.rows)} rows of {job.split}, before they are rounded"
        ):
            conversion = _compared(job, whole, "transformers, weights in float32", exact)
            gates.require(conversion, "the whole model in float32", help=_SAME_BITS)
    with session.journal.phase("export", f"{job.asked.weight_type} as safetensors"):
        notes = _write(job, whole, bound, folder, more_bits)
    session.stop.check()
    if card is None:  # each of them in float32, so that memory holds no more of them than are compared
        whole = None
        gc.collect()
    model = load_base(settings, FolderBase(folder), is_new=False, dtype=torch.float32).eval()
    with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
        if card is not None:
            require_rounded(model, whole, card)
        parity = _compared(job, model, f"transformers, weights in {bound.plain or bound.name}", bound)
        gates.require(parity, "the folder", help=more_bits)
        tokenized = _tokenized(job, folder)
    whole = None
    gc.collect()
    # Gates of preferences compare with the untrained model.
    can_answer = settings.answer not in ("pair", "rated")
    work = ModelWithScorer(model, make_scorer(model, settings))
    return Written(
        converter=Converter(name="ftc", version=VERSION, sha256=None),
        libraries=_LIBRARIES if card is None else (*_LIBRARIES, TORCHAO),
        tensor_types=_types(folder),
        conversion=conversion or parity,
        parity=parity,
        tokenized=tokenized,
        answers=beside.answers(job, job.tuned(), work, help=more_bits) if can_answer else None,
        # Weights of few bits were multiplied out to be compared, which no program that serves them does.
        speed=measured(job, lambda: seconds_of_model(job, work)) if card is None else None,
        notes=notes,
    )


def _write(job: Job, whole: Any, bound: FileType, folder: Path, more_bits: str) -> tuple[str, ...]:
    """Writes the whole model's folder, and gives notes.

    Raises:
        Refusal: A weight is no number in this type (FTC669); see `write_quantized`.
    """
    session = job.session
    try:
        if bound.quantized is not None:
            rounded = session.plan.settings.train.quantize_aware
            size = bound.quantized.group_size if rounded is None else rounded.group_size
            return (write_quantized(session, whole, bound.quantized, size, _SHARD_BYTES, folder),)
        assert bound.plain is not None, "the format's card names plain and quantized types alone"
        weights = MergedWeights.whole(whole, torch_type(number_type(bound.plain)))
        write_weights(session, weights, bound.plain, _SHARD_BYTES, folder)
    except NotFinite as error:
        summary = f"`{error}` is not finite in {bound.plain or bound.name}"
        help = more_bits if bound.plain != "float32" else "train again with a smaller `train.learning_rate`"
        raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=help)]) from None
    return ()


def _compared(job: Job, model: Any, runtime: str, bound: FileType) -> Parity:
    """A model beside the reference."""
    with torch.inference_mode():
        work = ModelWithScorer(model, make_scorer(model, job.session.plan.settings))
        return beside.compared(job, work, runtime, bound)


def _types(folder: Path) -> Counter[str]:
    """How many tensors have each type, as read back."""
    found = Counter[str]()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            found.update(file.get_slice(name).get_dtype() for name in file.keys())  # noqa: SIM118
    return found


def _tokenized(job: Job, folder: Path) -> int:
    """Rows whose text the folder's tokenizer splits into the tokens of the run.

    Raises:
        Refusal: It splits one otherwise (FTC669).
    """
    from transformers import AutoTokenizer

    settings, base = job.session.plan.settings, job.session.inputs.model_folder
    places = (tokenizer_folder(base, settings.model.tokenizer), folder)
    ours, theirs = (AutoTokenizer.from_pretrained(place, local_files_only=True) for place in places)
    texts, expected = gates.texts_of_tokens(job.rows, ours)
    found = [theirs.encode(text, add_special_tokens=False) for text in texts]
    same: int = sum(one == other for one, other in zip(found, expected, strict=True))
    if same < len(texts) or ours.chat_template != theirs.chat_template:
        summary = f"the folder's tokenizer or its chat template is not the run's ({same} of {len(texts)} rows the same)"
        raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help="restore the base model's files")])
    return same
