"""Turns `model.base` of a recipe into facts, from the files of a folder or of a hub snapshot alone.

Weights and `config.json` must belong
together: loading would fail on other widths, and leave layers untrained where too few are stored. Only kinds whose
construction ftc knows are judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.files.hub_cache import Snapshot
from ftc.compiler.resolve.files.hub_errors import of_locked
from ftc.compiler.resolve.files.safe_files import UnsafePath, read_json_object, refuse_odd_file, safe_path
from ftc.compiler.resolve.models.image_processor import processor_findings, sized
from ftc.compiler.resolve.models.license import read_license
from ftc.compiler.resolve.models.model_config import ModelConfig, code_keys, read_config
from ftc.compiler.resolve.models.model_form import attention_kernels, input_embedding, linear_modules, output_head
from ftc.compiler.resolve.models.model_paths import OTHER_WAY, find_outside
from ftc.compiler.resolve.models.packed_files import Unreadable, packed_layers, packing_of
from ftc.compiler.resolve.models.quantized_files import dequantized
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.models.vision_config import without_vision
from ftc.compiler.resolve.models.weights import Weights, read_weights
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import ModelFacts, TensorFacts, TokenizerFacts
from ftc.spec.language.did_you_mean import nearest
from ftc.spec.language.safe_repr import quoted
from ftc.spec.module_names import part_of
from ftc.spec.quantized_files import quantized_files
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.storage.model_files import INDEX_FILE, LOADED_FILES, SINGLE_FILE
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["PLACEHOLDER", "ResolvedModel", "misfits", "resolve_model"]

PLACEHOLDER = "models/my-model"
"""What `ftc init` writes where it finds no model; never taken for a hub id, though it has the form of one."""


def misfits(config: ModelConfig, tensors: Mapping[str, TensorFacts]) -> list[str]:
    """What doesn't fit, in words; empty where all does, or where it can't be told."""
    tensors = without_vision(tensors, config.vision)
    sizes = linear_modules(tensors, config.model_type).values()
    if not sizes or not architecture(config.model_type).widths_in_config:
        return []
    faults = []
    depth_of: dict[str, int] = {}  # a model whose layers share weights stores none by number
    for part in map(part_of, tensors):
        if part.kind == "layer":
            depth_of[part.stack] = max(depth_of.get(part.stack, 0), part.layer + 1)
    said = [config.num_layers, *([config.num_decoder_layers] if config.num_decoder_layers else [])]
    depths = [depth_of[stack] for stack in sorted(depth_of, key=lambda stack: "encoder" not in stack.split("."))]
    if len(depths) == len(said) and depths != said:
        says, stores = (" and ".join(map(str, numbers)) for numbers in (said, depths))
        faults.append(f"config.json says {says} layers, the weights have {stores}")
    widths = {width for size in sizes for width in size}
    inner, queries = config.intermediate_size, config.num_heads * config.head_dim
    has_experts = architecture(config.model_type).experts is not None  # a layer without them need not be there
    for what, width, found in (
        ("a width", config.hidden_size, config.hidden_size in widths),
        ("a feed-forward width", inner, has_experts or {inner, 2 * inner} & widths),  # both halves of a gate in one
        (f"{config.num_heads} heads with a total width", queries, queries in widths),
    ):
        if not found:
            faults.append(f"config.json says {what} of {width}, but no linear layer has this width")
    return faults


_PATH = "model.base"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model's facts, and the folder on this machine that the runtime loads; facts hold no absolute path."""

    facts: ModelFacts
    folder: Path
    warnings: tuple[Diagnostic, ...] = ()


class _Place(NamedTuple):
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

    A folder where `base` is one or starts with `./` or `../`, else one in a folder that the machine's owner allows,
    else an id on the hub.

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
    found: Path | None = None
    try:
        found = safe_path(root, base, folder)
    except UnsafePath as error:
        if (outside := find_outside(base)) is None:
            told = error.diagnostic(span, _PATH)
            raise Refusal([replace(told, help=(*told.help, OTHER_WAY))]) from error
    else:
        outside = None if found.is_dir() or base.startswith(".") else find_outside(base)
    if outside is not None:
        place = _Place(outside[0].relative_to(outside[1]).as_posix(), *outside)
    elif found is not None and found.is_dir():
        place = _Place(found.relative_to(root.resolve()).as_posix(), found, root)
    else:
        assert found is not None
        is_path = base == PLACEHOLDER or base.startswith((".", "/")) or (folder / base.partition("/")[0]).exists()
        if is_path or not _HUB_ID.fullmatch(base):
            raise Refusal([_no_folder(base, found, is_path, span)])
        try:
            check = partial(_read_config, span=span)
            snapshot = hub.model_snapshot(base, locked_commit or revision, digests, span_of, check=check)
        except Refusal as refusal:
            note = f"there is no folder `{base}`, so it is read as a hub id"
            found_on_hub = [of_locked(one, locked_commit) for one in refusal.diagnostics]
            raise Refusal([_with_folder(replace(one, notes=(*one.notes, note))) for one in found_on_hub]) from None
        place = _Place(base, snapshot.folder, snapshot.cache, snapshot)
    return ResolvedModel(_read_model(place, digests, span), place.folder)


def _with_folder(found: Diagnostic) -> Diagnostic:
    """The finding with the way that needs no hub, where the hub has nothing to give."""
    if found.code not in ("FTC314", "FTC317", "FTC318"):
        return found
    return replace(found, help=(*found.help, "or name a folder that holds the model, such as `./models/NAME`"))


def _no_folder(base: str, found: Path, is_path: bool, span: Span | None) -> Diagnostic:
    code, notes, help = "FTC301", "", "check the path"
    summary = f"the model folder `{base}` doesn't exist"
    if found.suffix == ".gguf" and found.exists():
        code, summary = "FTC303", "GGUF files can't be fine-tuned"
        help = "use the folder of the original model in safetensors format"
    elif found.exists():
        code, summary = "FTC302", f"`{base}` is a file, not a model folder"
        help = f"give its folder, `{Path(base).parent.as_posix()}`"
    elif base == PLACEHOLDER:
        summary = f"no folder `{base}`"
        notes = "it is the placeholder that `ftc init` writes where it finds no model"
        help = "put a model's folder there, or name another folder or a hub id such as `owner/name`"
    elif not is_path:
        code, summary = "FTC321", f"{quoted(base)} is neither a folder nor a hub id"
        help = "give a folder such as `./models/minilm`, or an id such as `owner/name`"
    else:
        siblings = [item.name for item in found.parent.iterdir() if item.is_dir()] if found.parent.is_dir() else []
        if near := nearest(found.name, siblings):
            help = f"did you mean `{base.removesuffix(found.name)}{near}`?"
        notes = f"`{base}` is relative to the recipe's folder"
    return diagnostic(code, summary, span, notes=notes or (), help=help, path=_PATH)


def _read_model(place: _Place, digests: DigestCache, span: Span | None) -> ModelFacts:
    """All findings of the independent parts at once; the parts are independent once config.json can be read."""
    config = _read_config(place.folder, place.root, span)
    found: list[Diagnostic] = []
    weights = _gathered(found, lambda: _weights(place, config, span))
    has_processor = config.vision is not None
    tokenizer = _gathered(
        found,
        lambda: read_tokenizer(place.folder, config.model_type, span, digests=digests, has_processor=has_processor),
    )
    if weights is not None and tokenizer is not None:
        found.extend(_mismatches(config, weights, tokenizer, span))
    found.extend(processor_findings(place.folder, config.vision, span))
    if found or weights is None or tokenizer is None:
        raise Refusal(found)
    beside = PROCESSOR_FILES if config.vision else ()
    names = [*weights.files, *(name for name in (*LOADED_FILES, *beside) if (place.folder / name).is_file())]
    try:
        hashed = digests.files(place.folder / name for name in names)
    except OSError as error:
        summary = "a file of the model can't be read"
        help = "check the permissions of the files in the model's folder"
        fault = diagnostic("FTC311", summary, span, notes=str(error.strerror), help=help, path=_PATH)
        raise Refusal([fault]) from error
    return ModelFacts(
        name=place.name,
        source="hub" if place.snapshot else "local",
        commit=place.snapshot.commit if place.snapshot else None,
        files={name: hashed[place.folder / name] for name in sorted(names)},
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
        tied_embeddings=config.tied if config.tied is not None else output_head(weights.tensors) is None,
        tensors=dict(sorted(weights.tensors.items())),
        linear_modules=linear_modules(without_vision(weights.tensors, config.vision), config.model_type),
        attention=_kernels(config),
        vision=config.vision,
        quantized_files=config.quantized,
        packed=weights.packed,
        license=read_license(place.folder),
        tokenizer=tokenizer,
    )


def _weights(place: _Place, config: ModelConfig, span: Span | None) -> Weights:
    """Weights in the shapes in which they are multiplied, whatever their files hold."""
    weights = read_weights(place.folder, place.root, span)
    if config.quantized is None:
        return weights
    said = read_json_object(place.folder / "config.json", span)
    try:
        if not quantized_files(config.quantized).keeps:
            return weights._replace(tensors=dequantized(weights.tensors, said, config.quantized))
        if config.vision is not None or architecture(config.model_type).transposed:
            what = "images" if config.vision is not None else "weights that lie the other way round"
            raise Unreadable(f"ftc doesn't load packed layers of a model with {what}")
        tensors, packed = packed_layers(weights.tensors, packing_of(said["quantization_config"], config.quantized))
        return weights._replace(tensors=tensors, packed=packed)
    except Unreadable as error:
        summary = "the model's files hold quantized weights that can't be read"
        help = "choose the unquantized model"
        raise Refusal([diagnostic("FTC313", summary, span, notes=str(error), help=help, path=_PATH)]) from error


def _kernels(config: ModelConfig) -> tuple[AttentionKernel, ...] | None:
    """Attention kernels of the model's class, and of the one inside of it that writes.

    Flash attention has no mask by which an image or a prompt sees ahead.
    """
    inner = attention_kernels(config.model_type)
    if config.vision is None or (found := attention_kernels(config.vision.model_type)) is None:
        return inner if config.vision is None else None
    without = {"flash_attention_2"} if config.vision.card.sees_ahead != "none" else set()
    return tuple(kernel for kernel in found if kernel not in without and (inner is None or kernel in inner))


def _gathered(found: list[Diagnostic], read: Callable[[], Part]) -> Part | None:
    try:
        return read()
    except Refusal as refusal:
        found.extend(refusal.diagnostics)
        return None


def _read_config(folder: Path, root: Path, span: Span | None) -> ModelConfig:
    outside: list[Diagnostic] = []  # links that lead out, pipes
    for name in (*LOADED_FILES, *PROCESSOR_FILES, SINGLE_FILE, INDEX_FILE):
        try:
            safe_path(root, name, folder)
            refuse_odd_file(folder / name, f"{folder.name}/{name}", span, _PATH)
        except UnsafePath as error:
            outside.append(error.diagnostic(span, _PATH))
        except Refusal as refusal:
            outside += refusal.diagnostics
    if outside:
        raise Refusal(outside)
    if (folder / "adapter_config.json").exists():
        help = "use the base model that the adapter was trained on"
        raise Refusal([diagnostic("FTC312", "the folder contains an adapter", span, help=help, path=_PATH)])
    if not (folder / "config.json").is_file():
        inner = next((file.parent.name for file in sorted(folder.glob("*/config.json"))), None)
        help = f"did you mean its folder `{inner}`?" if inner else "use the folder with config.json and the weights"
        raise Refusal([diagnostic("FTC302", "the model's folder has no config.json", span, help=help, path=_PATH)])
    generation = folder / "generation_config.json"
    if generation.is_file() and (
        found := code_keys(read_json_object(generation, span), "generation_config.json", span)
    ):
        raise Refusal(found)
    for name in PROCESSOR_FILES:
        said = read_json_object(folder / name, span) if (folder / name).is_file() else {}
        if found := code_keys(said, name, span):
            raise Refusal(found)
    config = read_config(read_json_object(folder / "config.json", span), span)
    return replace(config, vision=sized(config.vision, folder))


def _mismatches(
    config: ModelConfig, weights: Weights, tokenizer: TokenizerFacts, span: Span | None
) -> list[Diagnostic]:
    embedding, rows = input_embedding(weights.tensors), config.vocab_size
    help = "take config.json and the weights from the same model"
    if embedding is not None and embedding.shape[:1] != (rows,):
        summary = "the model's embedding doesn't match its config.json"
        note = f"the embedding has the shape {list(embedding.shape)}, config.json says {rows} rows"
        return [diagnostic("FTC322", summary, span, notes=note, help=help, path=_PATH)]
    if faults := misfits(config, weights.tensors):
        summary = "the model's weights don't match its config.json"
        return [diagnostic("FTC322", summary, span, notes=tuple(faults), help=help, path=_PATH)]
    if tokenizer.vocab_size > rows:
        summary = "the tokenizer has more ids than the embedding has rows"
        note = f"the tokenizer's ids need {tokenizer.vocab_size} rows, the embedding has {rows}"
        help = "use the tokenizer that came with the model, or a copy of the model with a resized embedding"
        return [diagnostic("FTC307", summary, span, notes=note, help=help, path=_PATH)]
    return []
