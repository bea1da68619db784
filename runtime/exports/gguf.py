"""A tuned model as one GGUF file for llama.cpp, or its adapter as one that goes beside the base model's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.runtime.artifacts.tensor_files import read_tensors, write_tensors
from ftc.runtime.exports import gates
from ftc.runtime.exports.children import Llama, convert, convert_adapter
from ftc.runtime.exports.converter import CONVERTER
from ftc.runtime.exports.job import Written
from ftc.runtime.exports.speed import LEAST_SECONDS, MOST_ROUNDS, measured
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.provenance import METADATA_KEY
from ftc.spec.model_formats import file_type
from ftc.spec.strategies.lora import LowRankSettings

if TYPE_CHECKING:
    from ftc.runtime.exports.job import Job
    from ftc.spec.documents.exported import AnswersKept, Parity, Speed
    from ftc.spec.strategies.adapter_settings import AdapterSettings

__all__ = ["write_adapter", "write_gguf"]

_LIBRARIES = ("gguf", "llama-cpp-py-sync", "torch", "transformers")
_FULL = "f32"
_SECOND = ".lora_B.weight"
"""How the name of an adapter's second matrix ends."""
_TRIMS = "the model's own template trims white space around a turn, and this one can't: send turns without it"


def write_gguf(job: Job, folder: Path) -> Written:
    """Writes the whole model; see `Writer`."""
    asked, session, full = job.asked, job.session, job.scratch / "full.gguf"
    assert asked.converter is not None, "the format's card asks for it"
    with session.journal.phase("export", f"{_FULL} by llama.cpp's converter"):
        convert(asked.converter, asked.model, full, job.scratch, {METADATA_KEY: job.origin}, asked.pre_tokenizer)
    session.stop.check()
    with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
        conversion = _compared(job, _llama(job, full), _FULL)
        gates.require(conversion, "the converted file in f32")
        tokenized, adds_first = _tokenized(job, _llama(job, full))
    file = folder / f"{session.plan.name}-{asked.weight_type}.gguf"
    found, answers = _typed(job, full, file, conversion)
    speed = _speed(job, _llama(job, file))
    template = asked.beside(folder, file.name, adds_first)
    return Written(
        converter=CONVERTER,
        libraries=_LIBRARIES,
        tensor_types=_types(file),
        conversion=conversion,
        parity=found,
        tokenized=tokenized,
        answers=answers,
        template=template,
        speed=speed,
        notes=() if template is None or template.keeps_spaces else (_TRIMS,),
    )


def _types(file: Path) -> Counter[str]:
    from gguf import GGUFReader

    return Counter(one.tensor_type.name for one in GGUFReader(file).tensors)


def _llama(job: Job, file: Path, adapter: Path | None = None) -> Llama:
    settings = job.session.plan.settings
    longest = int(job.rows.lengths.max()) + (settings.eval.max_new_tokens or 0)
    return Llama(file, job.scratch, settings.device.threads, longest, adapter)


def _compared(job: Job, llama: Llama, type_name: str) -> Parity:
    """A file beside the tuned model."""
    return gates.parity(llama, job.rows, job.reference, file_type(type_name), job.widest)


def _speed(job: Job, llama: Llama) -> Speed:
    """How quickly a file reads, with scores at all the places that the run's own model gives some for."""
    asked = [row for number in job.reference.rows.tolist() for row in gates.sequences_of(job.rows, number)]
    return measured(job, lambda: llama.seconds(asked, LEAST_SECONDS, MOST_ROUNDS))


def _tokenized(job: Job, llama: Llama) -> tuple[int, bool]:
    """Rows that the file's tokenizer splits as the run did, and whether llama.cpp puts a token before each text.

    Raises:
        Refusal: It splits one otherwise (FTC669).
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.asked.model, local_files_only=True)
    same, asked, adds_first = gates.same_tokens(llama, job.rows, tokenizer)
    if same < asked:
        summary = f"the file's tokenizer splits {asked - same} of {asked} rows of {job.split} otherwise than the run"
        help = "name the way in which the tokenizer splits texts with `--pre-tokenizer`"
        raise Refusal([diagnostic("FTC669", summary, notes="nothing was kept", help=help)])
    return same, adds_first


def _typed(job: Job, full: Path, file: Path, conversion: Parity) -> tuple[Parity, AnswersKept | None]:
    """Writes the file in the type that was asked for, and proves it.

    Raises:
        Refusal: It says something else (FTC669), or the recipe's gates don't hold with it (FTC670).
    """
    session, asked = job.session, job.asked
    if asked.weight_type == _FULL:
        full.rename(file)
        return conversion, None
    bound = file_type(asked.weight_type)
    assert bound.number is not None, "the format's card names llama.cpp's types alone"
    with session.journal.phase("export", asked.weight_type):
        _llama(job, full).quantize(bound.number, file)
    session.stop.check()
    with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
        found = _compared(job, _llama(job, file), asked.weight_type)
        gates.require(found, f"the file in {asked.weight_type}")
    # Gates of preferences compare with the untrained model.
    can_answer = session.plan.settings.answer not in ("pair", "rated")
    if not (bound.is_measured and can_answer):
        return found, None
    rows = gates.first_rows(job.rows, asked.rows)
    with session.journal.phase("compare", f"answers to {len(rows)} rows of {job.split}"):
        tuned = gates.answers_of_model(session, job.tuned(), rows)
        exported = gates.answers_of_file(session, _llama(job, file), rows)
        answers = gates.kept(session, rows, job.split, tuned, exported, asked.waived)
        gates.require_gates(answers, asked.weight_type)
    return found, answers


def write_adapter(job: Job, folder: Path) -> Written:
    """Writes the adapter alone; the base model's file is made to prove it, and isn't kept. See `Writer`."""
    asked, session, base = job.asked, job.session, job.scratch / "base.gguf"
    assert asked.converter is not None, "the format's card asks for it"
    file = folder / f"{session.plan.name}-lora-{asked.weight_type}.gguf"
    with session.journal.phase("export", "base and adapter by llama.cpp's converter"):
        convert(asked.converter, asked.model, base, job.scratch, {}, asked.pre_tokenizer)
        session.stop.check()
        strategy = session.plan.settings.strategy
        assert isinstance(strategy, LowRankSettings), "the others were refused"
        scaled = _with_one_scale(strategy.adapter, job.run.adapter, job.scratch / "adapter")
        origin = {METADATA_KEY: job.origin}
        convert_adapter(asked.converter, asked.model, scaled, file, job.scratch, origin, asked.weight_type)
    session.stop.check()
    with session.journal.phase("compare", f"{len(job.reference.rows)} rows of {job.split}"):
        found = _compared(job, _llama(job, base, file), asked.weight_type)
        gates.require(found, f"the adapter in {asked.weight_type} beside the base model's file in f32")
        tokenized, _ = _tokenized(job, _llama(job, base))
    speed = _speed(job, _llama(job, base, file))
    return Written(
        converter=CONVERTER,
        libraries=_LIBRARIES,
        tensor_types=_types(file),
        conversion=found,
        parity=found,
        tokenized=tokenized,
        speed=speed,
        notes=("compared beside the base model in f32; beside a base of fewer bits no gate was checked",),
    )


def _with_one_scale(settings: AdapterSettings, adapter: Path, folder: Path) -> Path:
    """A copy of an adapter whose layers are all multiplied by one alpha / rank, since llama.cpp knows no other.

    The alpha of a rank-stabilized adapter is multiplied by the root of its rank. A layer whose own alpha is another
    one takes the difference into its second matrix.
    """
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = read_tensors(adapter / "adapter_model.safetensors")
    seconds = {name: tensor for name, tensor in tensors.items() if name.endswith(_SECOND)}
    alphas = {name: settings.scale_of(name.removesuffix(_SECOND)) * one.shape[1] for name, one in seconds.items()}
    ((usual, _),) = Counter(alphas.values()).most_common(1)
    folder.mkdir()
    config |= {"lora_alpha": usual, "use_rslora": False, "alpha_pattern": {}}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    others = {name: tensors[name] * (alpha / usual) for name, alpha in alphas.items() if alpha != usual}
    write_tensors(folder / "adapter_model.safetensors", {**tensors, **others}, {"format": "pt"})
    return folder
