"""A tuned model as a folder of safetensors, as transformers and vLLM load it, proved like every other format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from ftc.runtime.artifacts.merge import write_weights
from ftc.runtime.artifacts.merged_weights import MergedWeights, NotFinite
from ftc.runtime.exports import beside, gates
from ftc.runtime.exports.job import Written
from ftc.runtime.models.base_model import FolderBase, load_base
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.exported import Converter
from ftc.spec.model_formats import gguf_type
from ftc.spec.precisions import number_type
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.version import VERSION

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job

__all__ = ["write_folder"]

_LIBRARIES = ("safetensors", "torch", "transformers")
_SHARD_BYTES = 5 * 10**9
"""Most bytes of weights in one file, as transformers writes them."""
_MORE_BITS = "export it with `--type f32`"
_SAME_BITS = "load the run with `ftc predict`, which is unaffected; `ftc audit` says whether its files are whole"


def write_folder(job: Job, folder: Path) -> Written:
    """Writes weights, configuration and tokenizer; see `Writer`.

    What is compared is computed in float32 from the weights as they were written, so that the proof is of the file and
    not of a processor's arithmetic in 16 bits.
    """
    session, asked = job.session, job.asked
    settings, weight_type = session.plan.settings, gguf_type(asked.weight_type).plain
    more_bits = _MORE_BITS if weight_type != "float32" else _SAME_BITS
    assert weight_type is not None, "the format's card names plain types alone"
    with session.journal.phase("export", f"{weight_type} as safetensors"):
        whole = load_base(settings, FolderBase(asked.model), is_new=False, dtype=torch.float32)
        weights = MergedWeights.whole(whole, torch_type(number_type(weight_type)))
        try:
            write_weights(session, weights, weight_type, _SHARD_BYTES, folder)
        except NotFinite as error:
            summary = f"`{error}` is not finite in {weight_type}"
            help = _MORE_BITS if weight_type != "float32" else "train again with a smaller `train.learning_rate`"
            raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=help)]) from None
        del whole, weights
    session.stop.check()
    tuned = job.tuned()
    model = load_base(settings, FolderBase(folder), is_new=False, dtype=torch.float32).eval()
    work = ModelWithScorer(model, make_scorer(model, settings))
    with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"), torch.inference_mode():
        parity = beside.compared(job, work, f"transformers, weights in {weight_type}")
        gates.require(parity, "the folder", help=more_bits)
        tokenized = _tokenized(job, folder)
    # Gates of preferences compare with the untrained model.
    can_answer = settings.answer not in ("pair", "rated")
    return Written(
        converter=Converter(name="ftc", version=VERSION, sha256=None),
        libraries=_LIBRARIES,
        tensor_types=_types(folder),
        conversion=parity,
        parity=parity,
        tokenized=tokenized,
        answers=beside.answers(job, tuned, work, help=more_bits) if can_answer else None,
    )


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
