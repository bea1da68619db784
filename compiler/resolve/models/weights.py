"""Finds the weight files of a model folder and reads the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.json_files import read_json_object
from ftc.compiler.resolve.files.safe_paths import UnsafePath, safe_path
from ftc.compiler.resolve.models.safetensors_header import BrokenSafetensors, read_header
from ftc.spec.diagnostics import Diagnostic, Refusal, Span, diagnostic
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.language.safe_repr import quoted
from ftc.spec.storage.model_files import INDEX_FILE, SINGLE_FILE

__all__ = ["Weights", "read_weights", "shard_names"]

_OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.pkl")
_CONVERT = (
    "convert the weights to safetensors where you trust their origin: "
    "`AutoModel.from_pretrained(...).save_pretrained(...)` writes `model.safetensors`"
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight files by name, index included, and every tensor in them."""

    files: tuple[str, ...]
    tensors: dict[str, TensorFacts]


def read_weights(folder: Path, root: Path, span: Span | None = None) -> Weights:
    """Weights of a model folder. `root` is how far links may lead: the project, or the hub's cache.

    Raises:
        Refusal: FTC300, FTC302, FTC303, FTC304, FTC305 or FTC311, all that apply.
    """
    if (folder / SINGLE_FILE).is_file():
        return Weights((SINGLE_FILE,), _read_files(folder, root, (SINGLE_FILE,), span)[SINGLE_FILE])
    if not (folder / INDEX_FILE).is_file():
        raise Refusal([_no_weights(folder, span)])
    index = read_json_object(folder / INDEX_FILE, span)
    shards = shard_names(index, span)
    stored = _read_files(folder, root, shards, span)
    tensors = {name: facts for shard in stored.values() for name, facts in shard.items()}
    if wrong := [name for name, shard in index["weight_map"].items() if name not in stored[shard]]:
        raise Refusal([_bad_index(f"tensor `{wrong[0]}` isn't in the file that the index names for it", span)])
    if len(tensors) != sum(map(len, stored.values())):
        raise Refusal([_bad_index("a tensor stands in two files", span)])
    return Weights((INDEX_FILE, *shards), tensors)


def shard_names(index: Mapping[str, Any], span: Span | None) -> tuple[str, ...]:
    """Names of the files that an index lists, sorted; each is a plain name of a safetensors file.

    Raises:
        Refusal: FTC305, the index is malformed; FTC319, a name would leave the folder.
    """
    names = index.get("weight_map")
    if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
        raise Refusal([_bad_index("it has no `weight_map` of tensor names to file names", span)])
    shards = tuple(sorted(set(names.values())))
    for shard in shards:
        if "/" in shard or "\\" in shard or not shard.endswith(".safetensors") or shard.startswith("."):
            raise Refusal([_hostile_name(shard, span)])
    return shards


def _read_files(
    folder: Path, root: Path, names: tuple[str, ...], span: Span | None
) -> dict[str, dict[str, TensorFacts]]:
    stored, found = {}, []
    for name in names:
        result = _read_file(folder, root, name, span)
        if isinstance(result, Diagnostic):
            found.append(result)
        else:
            stored[name] = result
    if found:
        raise Refusal(found)
    return stored


def _read_file(folder: Path, root: Path, name: str, span: Span | None) -> dict[str, TensorFacts] | Diagnostic:
    try:
        return read_header(safe_path(root, name, folder))
    except UnsafePath as error:
        return error.diagnostic(span, "model.base")
    except FileNotFoundError:
        return _bad_index(f"`{name}` isn't in the model's folder", span)
    except BrokenSafetensors as error:
        return _broken(name, error, span)
    except OSError as error:
        help = "check the file's rights"
        return diagnostic(
            "FTC311", f"`{name}` of the model can't be read", span, notes=str(error), help=help, path="model.base"
        )


def _broken(name: str, error: BrokenSafetensors, span: Span | None) -> Diagnostic:
    if error.other_format:
        help = "run `git lfs pull` in the model's folder" if "LFS" in error.other_format else _CONVERT
        summary = f"`{name}` is no safetensors file"
        return diagnostic("FTC304", summary, span, notes=str(error), help=help, path="model.base")
    summary = f"`{name}` of the model is damaged"
    return diagnostic("FTC304", summary, span, notes=str(error), help="fetch the file again", path="model.base")


def _no_weights(folder: Path, span: Span | None) -> Diagnostic:
    others = sorted(file.name for pattern in _OTHER_FORMATS for file in folder.glob(pattern))
    if others:
        summary = f"the model's weights are in a format that ftc doesn't open: `{others[0]}`"
        return diagnostic("FTC303", summary, span, help=_CONVERT, path="model.base")
    help = f"give a folder that holds `{SINGLE_FILE}`, or `{INDEX_FILE}` and the files that it names"
    return diagnostic("FTC302", "the model's folder holds no weights", span, help=help, path="model.base")


def _bad_index(reason: str, span: Span | None) -> Diagnostic:
    help = "fetch the model again; every file that the index names must lie beside it"
    return diagnostic(
        "FTC305", "the model's weight files are incomplete", span, notes=reason, help=help, path="model.base"
    )


def _hostile_name(name: str, span: Span | None) -> Diagnostic:
    return diagnostic(
        "FTC319",
        f"the model's index names a file outside its folder: {quoted(name)}",
        span,
        help="don't use this model; its index was made to read or overwrite other files",
        path="model.base",
    )
