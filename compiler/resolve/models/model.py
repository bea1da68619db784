"""Turns `model.base` of a recipe into facts, from the files of a folder or of a hub snapshot alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub, Snapshot
from ftc.compiler.resolve.files.hub_errors import of_locked
from ftc.compiler.resolve.files.json_files import read_json_object
from ftc.compiler.resolve.files.safe_paths import UnsafePath, safe_path
from ftc.compiler.resolve.models.attention import attention_kernels
from ftc.compiler.resolve.models.licenses import read_license
from ftc.compiler.resolve.models.linear_modules import input_embedding, linear_modules, output_head
from ftc.compiler.resolve.models.misfits import misfits
from ftc.compiler.resolve.models.model_config import ModelConfig, code_keys, read_config
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.models.weights import Weights, read_weights
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import FileFacts, ModelFacts, TokenizerFacts
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.model_files import INDEX_FILE, LOADED_FILES

__all__ = ["ResolvedModel", "resolve_model"]

_PATH = "model.base"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model's facts, and the folder on this machine that the runtime loads; facts hold no absolute path."""

    facts: ModelFacts
    folder: Path


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a model lies. Links may lead as far as `root`; `snapshot` is set for a model from the hub."""

    name: str
    folder: Path
    root: Path
    snapshot: Snapshot | None = None


def resolve_model(
    base: str,
    revision: str | None,
    *,
    locked_commit: str | None = None,
    folder: Path,
    root: Path,
    hub: Hub,
    digests: DigestCache,
    span_of: Callable[[str], Span | None],
) -> ResolvedModel:
    """Facts of the model that a recipe names.

    A folder where `base` is one or starts with `./` or `../`, else an id on the hub.

    Args:
        base: `model.base` of the recipe.
        revision: Branch, tag or commit on the hub; None for its main branch. Means nothing for a folder.
        locked_commit: The commit that the lock keeps for them; it goes before the revision.
        folder: The recipe's folder.
        root: The project's root, which no path leaves.
        hub: Where ids are looked up.
        digests: Remembers digests of files.
        span_of: The place of a recipe value by its dotted path.

    Raises:
        Refusal: The model can't be used; codes FTC300 to FTC323.
    """
    span = span_of(_PATH)
    place = _local_place(base, folder, root, span)
    if place is None:
        try:
            check = partial(_read_config, span=span)
            snapshot = hub.model_snapshot(base, locked_commit or revision, digests, span_of, check=check)
        except Refusal as refusal:
            found = [of_locked(one, locked_commit) for one in refusal.diagnostics]
            raise Refusal([_taken_for_an_id(one, base) for one in found]) from None
        place = _Place(base, snapshot.folder, snapshot.cache, snapshot)
    return ResolvedModel(_read_model(place, digests, span), place.folder)


def _taken_for_an_id(found: Diagnostic, base: str) -> Diagnostic:
    """The hub's finding, with a word for those who meant a folder."""
    note = f"no folder `{base}` lies beside the recipe, so it is taken for a hub id"
    return replace(found, notes=(*found.notes, note))


def _local_place(base: str, folder: Path, root: Path, span: Span | None) -> _Place | None:
    """The model's folder, or None for a hub id."""
    try:
        found = safe_path(root, base, folder)
    except UnsafePath as error:
        raise Refusal([error.diagnostic(span, _PATH)]) from error
    if found.is_dir():
        return _Place(found.relative_to(root.resolve()).as_posix(), found, root)
    is_path = base.startswith((".", "/")) or (folder / base.partition("/")[0]).exists()
    if not is_path and _HUB_ID.fullmatch(base):
        return None
    raise Refusal([_no_folder(base, found, is_path, span)])


def _no_folder(base: str, found: Path, is_path: bool, span: Span | None) -> Diagnostic:
    if found.suffix == ".gguf" and found.exists():
        help = "give the folder of the original model in safetensors form"
        return diagnostic("FTC303", "GGUF files can't be fine-tuned", span, help=help, path=_PATH)
    if found.exists():
        help = f"give its folder, `{Path(base).parent.as_posix()}`"
        return diagnostic("FTC302", f"`{base}` is a file, not a model folder", span, help=help, path=_PATH)
    if not is_path:
        help = "give a folder such as `./models/minilm`, or an id such as `owner/name`"
        return diagnostic("FTC321", f"{quoted(base)} is neither a folder nor a hub id", span, help=help, path=_PATH)
    siblings = [item.name for item in found.parent.iterdir() if item.is_dir()] if found.parent.is_dir() else []
    near = nearest(found.name, siblings)
    help = f"did you mean `{base.removesuffix(found.name)}{near}`?" if near else "check the path"
    note = f"`{base}` is relative to the recipe's folder"
    return diagnostic("FTC301", f"the model folder `{base}` doesn't exist", span, notes=note, help=help, path=_PATH)


def _read_model(place: _Place, digests: DigestCache, span: Span | None) -> ModelFacts:
    """All findings of the independent parts at once; the parts are independent once config.json can be read."""
    config = _read_config(place.folder, place.root, span)
    found: list[Diagnostic] = []
    weights = _gathered(found, lambda: read_weights(place.folder, place.root, span))
    tokenizer = _gathered(found, lambda: read_tokenizer(place.folder, config.model_type, span))
    if weights is not None and tokenizer is not None:
        found.extend(_mismatches(config, weights, tokenizer, span))
    if found or weights is None or tokenizer is None:
        raise Refusal(found)
    return _facts(place, config, weights, tokenizer, _digests(place, weights, digests, span))


def _gathered(found: list[Diagnostic], read: Callable[[], Part]) -> Part | None:
    try:
        return read()
    except Refusal as refusal:
        found.extend(refusal.diagnostics)
        return None


def _read_config(folder: Path, root: Path, span: Span | None) -> ModelConfig:
    _refuse_outside_links(folder, root, span)
    if (folder / "adapter_config.json").exists():
        help = "give the base model that the adapter was trained on"
        raise Refusal([diagnostic("FTC312", "the folder holds an adapter", span, help=help, path=_PATH)])
    if not (folder / "config.json").is_file():
        inner = next((file.parent.name for file in sorted(folder.glob("*/config.json"))), None)
        help = (
            f"did you mean its folder `{inner}`?" if inner else "give the folder that holds config.json and the weights"
        )
        raise Refusal([diagnostic("FTC302", "the model's folder holds no config.json", span, help=help, path=_PATH)])
    generation = folder / "generation_config.json"
    if generation.is_file() and (
        found := code_keys(read_json_object(generation, span), "generation_config.json", span)
    ):
        raise Refusal(found)
    return read_config(read_json_object(folder / "config.json", span), span)


def _refuse_outside_links(folder: Path, root: Path, span: Span | None) -> None:
    found = []
    for name in (*LOADED_FILES, INDEX_FILE):
        try:
            safe_path(root, name, folder)
        except UnsafePath as error:
            found.append(error.diagnostic(span, _PATH))
    if found:
        raise Refusal(found)


def _mismatches(
    config: ModelConfig, weights: Weights, tokenizer: TokenizerFacts, span: Span | None
) -> list[Diagnostic]:
    embedding, rows = input_embedding(weights.tensors), config.vocab_size
    if embedding is not None and embedding.shape[:1] != (rows,):
        return [_wrong_embedding(embedding.shape, rows, span)]
    if faults := misfits(config, weights.tensors):
        return [_misfit(faults, span)]
    if tokenizer.vocab_size > rows:
        summary = "the tokenizer has more ids than the model has rows"
        note = f"the tokenizer's ids need {tokenizer.vocab_size} rows, the embedding has {rows}"
        help = "use the tokenizer that came with the model, or a copy of the model whose embedding was resized"
        return [diagnostic("FTC307", summary, span, notes=note, help=help, path=_PATH)]
    return []


def _wrong_embedding(shape: tuple[int, ...], rows: int, span: Span | None) -> Diagnostic:
    summary = "the model's embedding doesn't fit its config.json"
    note = f"the stored table has the shape {list(shape)}, config.json says {rows} rows"
    help = "take config.json and the weights from the same model"
    return diagnostic("FTC322", summary, span, notes=note, help=help, path=_PATH)


def _misfit(faults: list[str], span: Span | None) -> Diagnostic:
    summary = "the model's weights don't fit its config.json"
    help = "take config.json and the weights from the same model"
    return diagnostic("FTC322", summary, span, notes=tuple(faults), help=help, path=_PATH)


def _digests(place: _Place, weights: Weights, digests: DigestCache, span: Span | None) -> dict[str, FileFacts]:
    names = [*weights.files, *(name for name in LOADED_FILES if (place.folder / name).is_file())]
    try:
        hashed = digests.files(place.folder / name for name in names)
    except OSError as error:
        summary = "a file of the model can't be read"
        help = "check the rights of the files in the model's folder"
        found = diagnostic("FTC311", summary, span, notes=str(error.strerror), help=help, path=_PATH)
        raise Refusal([found]) from error
    return {name: hashed[place.folder / name] for name in sorted(names)}


def _facts(
    place: _Place,
    config: ModelConfig,
    weights: Weights,
    tokenizer: TokenizerFacts,
    files: dict[str, FileFacts],
) -> ModelFacts:
    tied = config.tied if config.tied is not None else output_head(weights.tensors) is None
    return ModelFacts(
        name=place.name,
        source="hub" if place.snapshot else "local",
        commit=place.snapshot.commit if place.snapshot else None,
        files=files,
        architecture=config.architecture,
        model_type=config.model_type,
        config=config.form,
        family=config.family,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_layers,
        num_decoder_layers=config.num_decoder_layers,
        decoder_start_id=config.decoder_start_id,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        max_positions=config.max_positions,
        tied_embeddings=tied,
        tensors=dict(sorted(weights.tensors.items())),
        linear_modules=linear_modules(weights.tensors, config.model_type),
        attention=attention_kernels(config.model_type),
        license=read_license(place.folder),
        tokenizer=tokenizer,
    )
