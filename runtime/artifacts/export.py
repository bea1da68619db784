"""The result of a run, in the layouts that other programs read: a PEFT adapter, or a whole transformers model.

The files hold no path of the machine, and the same weights give the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts import checkpoint
from ftc.runtime.artifacts.checkpoint import artifact_tensors, chosen_tensors, load_artifact
from ftc.runtime.artifacts.checkpoint_files import witnessed_log
from ftc.runtime.artifacts.model_files import copy_tokenizer, write_model_files
from ftc.runtime.artifacts.sentence_files import write_sentence_files
from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors, write_tensors
from ftc.runtime.execution.accelerator import agreed
from ftc.runtime.execution.session import Session
from ftc.runtime.models.file_names import from_files, in_files, names_in_files
from ftc.runtime.models.sharding import is_sharded, whole_tensors
from ftc.runtime.strategies import half_of
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.provenance import METADATA_KEY, header_text, provenance_of
from ftc.spec.storage.atomic_write import building_folder
from ftc.spec.storage.checkpoint_tensors import WEIGHTS
from ftc.spec.storage.paths import base_from_run
from ftc.spec.strategies import strategy_card

__all__ = ["export", "is_exported", "load_exported"]


def export(session: Session) -> None:
    """Writes the selected checkpoint's weights, or a ready-made adapter, and their digest into the record.

    Raises:
        Refusal: The selected checkpoint is damaged, or an adapter isn't the plan's.
    """
    if session.plan.settings.model.combined is not None:
        from ftc.runtime.artifacts.combine import combined_adapter

        with combined_adapter(session) as (model, tensors):
            _write_result(session, model, tensors)
        return
    if session.plan.settings.model.fetched is not None:
        from ftc.runtime.artifacts.fetched import fetched_adapter

        work = session.build()
        _write_result(session, work.model, fetched_adapter(session, work.model))
        session.base = session.trained = None
        session.accelerator.free_memory()
        return
    step = session.state.record.selected_step
    findings: list[Diagnostic] = []
    checkpoints, job = session.folder.checkpoints, session.job_sha256
    log = witnessed_log(session.folder)
    chosen = agreed(session.accelerator, lambda: checkpoint.verified(checkpoints, step, job, findings.append, log))
    chosen = session.brought(chosen, only=WEIGHTS)
    if chosen is None:
        raise Refusal([diagnostic("FTC630", f"checkpoint {step} can't be used", notes=[f.summary for f in findings])])
    work = session.trained or session.build()
    session.trained = work
    tensors = _whole(session, work.model, chosen_tensors(work.model, session.plan.settings, chosen))
    session.copies.drop(chosen.folder)
    _write_result(session, work.model, _by_files(session, work.model, tensors))


def _write_result(session: Session, model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Writes weights as the run's result, by the names of its files, and their digest into the record."""
    if session.is_first:
        folder = _folder(session)
        with building_folder(folder) as temporary:
            _write(session, model, tensors, temporary)
    digest = agreed(session.accelerator, lambda: content_digest(tensors))
    session.state.update(final_weights_sha256=digest)
    session.note_memory("export")
    session.accelerator.wait_for_everyone()


def is_exported(session: Session) -> bool:
    """Whether the saved weights are there, and are those of the record."""
    expected, file = session.state.record.final_weights_sha256, _weights_file(session)
    return expected is not None and file.is_file() and _digest_of(file) == expected


def load_exported(session: Session, model: nn.Module) -> None:
    """Loads the saved weights into a model that is as it was before the first step.

    Raises:
        Refusal: They can't be read, are not those of the record, or not all of the model's (FTC630).
    """
    if session.weights is None:
        session.copies.share(session.accelerator, session.folder, [_weights_file(session)])
    try:
        tensors = read_tensors(_weights_file(session))
    except OSError as error:
        raise Refusal([_changed(session, f"they can't be read: {error.strerror or error}")]) from None
    if content_digest(tensors) != session.state.record.final_weights_sha256:
        raise Refusal([_changed(session, "they have another digest")])
    load_artifact(model, session.plan.settings, from_files(model, tensors) if _is_whole(session) else tensors)
    taken = _by_files(session, model, _whole(session, model, artifact_tensors(model, session.plan.settings)))
    if taken.keys() != tensors.keys():  # until ftc 0.1 a whole model's file had the names that weights have in memory
        owns = {name: own for own, name in names_in_files(model).items()}
        taken = {owns.get(name, name): tensor for name, tensor in taken.items()}
    if agreed(session.accelerator, lambda: content_digest(taken)) != session.state.record.final_weights_sha256:
        raise Refusal([_changed(session, "the model does not accept all of them")])


def _whole(session: Session, model: nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors in each process that has them whole anyway, and in the first put together from all parts."""
    return whole_tensors(tensors, keep=session.is_first or not is_sharded(model))


def _by_files(session: Session, model: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A whole model's weights as its files have them."""
    return in_files(model, tensors) if _is_whole(session) else tensors


def _is_whole(session: Session) -> bool:
    return strategy_card(session.plan.settings.strategy).is_whole


def _folder(session: Session) -> Path:
    run = session.weights or session.folder
    return run.model if _is_whole(session) else run.adapter


def _weights_file(session: Session) -> Path:
    return _folder(session) / ("model.safetensors" if _is_whole(session) else "adapter_model.safetensors")


def _write(session: Session, model: Any, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    made_by = header_text(provenance_of(session.plan))
    metadata = {"format": "pt", "job_sha256": session.job_sha256, METADATA_KEY: made_by}
    write_tensors(folder / _weights_file(session).name, tensors, metadata)
    if _is_whole(session):
        write_model_files(session, model, folder)
        return
    settings = session.plan.settings
    config = half_of(settings.strategy).adapter_config(model, settings.strategy)
    base, is_local = settings.model.base, settings.model.commit is None
    # A local base by its path from the run's folder, which the model card says to load from.
    config["base_model_name_or_path"] = base_from_run(session.plan.recipe_file, base) if is_local else base
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    write_sentence_files(settings, model.config, folder)
    copy_tokenizer(session, folder)


def _digest_of(file: Path) -> str | None:
    try:
        return content_digest(read_tensors(file))
    except OSError:
        return None


def _changed(session: Session, why: str) -> Diagnostic:
    place = _weights_file(session).relative_to((session.weights or session.folder).path).as_posix()
    return diagnostic(
        "FTC630",
        f"the weights in `{place}` differ from the record",
        notes=why,
        help="apply the plan again; it writes them again",
    )
