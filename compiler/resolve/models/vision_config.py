"""What reads images in a model: read off its config.json and its processor's file, and compared with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.model_form import form_of
from ftc.spec.diagnostics import Diagnostic, Span, diagnostic
from ftc.spec.documents.facts import TensorFacts, VisionFacts
from ftc.spec.vision_models import PROCESSOR_FILES, vision_model

__all__ = ["language_part", "processor_findings", "vision_facts", "without_vision"]

_TOWER_KEYS = ("image_size", "num_channels", "patch_size", "projection_dim")
"""Keys of `vision_config` that decide what is built, beside those of every configuration."""
_MOST_PATCHES = 100_000
_LARGEST_SIZE = 10**6


def language_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of the language model: the inner one of a model that reads images, else the whole."""
    known, inner = vision_model(str(config.get("model_type"))), config.get("text_config")
    if known is None:
        return config
    own = {name: config[name] for name in ("architectures", "tie_word_embeddings") if name in config}
    # An empty `text_config` means transformers' own, a Llama.
    return {
        "model_type": known.text_types[0],
        **known.text_defaults,
        **(inner if isinstance(inner, dict) else {}),
        **own,
    }


def vision_facts(config: Mapping[str, Any]) -> tuple[VisionFacts | None, list[str]]:
    """What reads images, and what is wrong with its sizes in words; nothing for a model that reads text alone."""
    known = vision_model(str(config.get("model_type")))
    if known is None:
        return None, []
    tower = config.get("vision_config")
    if not isinstance(tower, Mapping):
        return None, ["`vision_config` is missing"]
    faults = []

    def size(holder: Mapping[str, Any], keys: tuple[str, ...], least: int, where: str) -> int:
        value = next((holder[key] for key in keys if key in holder), None)
        if type(value) is not int or not least <= value <= _LARGEST_SIZE:
            faults.append(
                f"`{keys[0]}`{where} is {str(value)[:40]}, not a whole number from {least} to {_LARGEST_SIZE}"
            )
            return 1
        return value

    inside = " in `vision_config`"
    image_size, patch_size = size(tower, ("image_size",), 1, inside), size(tower, ("patch_size",), 1, inside)
    patches = (image_size // patch_size) ** 2
    if not faults and not 0 < patches <= _MOST_PATCHES:
        faults.append(f"images of {image_size} pixels have {patches:,} patches of {patch_size}")
    strategy = config.get("vision_feature_select_strategy", "default")
    if strategy not in ("default", "full"):
        faults.append(f"`vision_feature_select_strategy` is {str(strategy)[:40]!r}, not `default` or `full`")
    language = language_part(config)
    sizes = {key: tower[key] for key in _TOWER_KEYS if type(tower.get(key)) is int}
    kept = ("model_type", "tie_word_embeddings", *known.token_keys, *known.own_keys)
    form = {key: config[key] for key in kept if key in config}
    facts = VisionFacts(
        model_type=known.model_type,
        image_token_id=size(config, known.token_keys, 0, ""),
        image_size=image_size,
        patch_size=patch_size,
        tokens_per_image=patches + (strategy == "full"),
        hidden_size=size(tower, ("hidden_size",), 1, inside),
        intermediate_size=size(tower, ("intermediate_size",), 1, inside),
        num_layers=size(tower, ("num_hidden_layers",), 1, inside),
        config={**form, "text_config": form_of(language), "vision_config": {**form_of(tower), **sizes}},
    )
    return facts, faults


def without_vision(tensors: Mapping[str, TensorFacts], vision: VisionFacts | None) -> Mapping[str, TensorFacts]:
    """The tensors of the language model alone."""
    if vision is None:
        return tensors
    parts = set(vision.parts)
    return {name: one for name, one in tensors.items() if parts.isdisjoint(name.split("."))}


def processor_findings(folder: Path, vision: VisionFacts | None, span: Span | None) -> Iterator[Diagnostic]:
    """What is wrong with the files that say how images become numbers (FTC128)."""
    if vision is None:
        return
    file = next((folder / name for name in PROCESSOR_FILES if (folder / name).is_file()), None)
    if file is None:
        help = "copy it from the model's original folder"
        summary = f"the model reads images, but its folder has no `{PROCESSOR_FILES[0]}`"
        yield diagnostic("FTC128", summary, span, help=help, path="model.base")
        return
    said = read_json_object(file, span)
    said = said["image_processor"] if isinstance(said.get("image_processor"), dict) else said
    made = said.get("crop_size") if said.get("do_center_crop", True) else said.get("size")
    sides = set(made.values()) if isinstance(made, dict) else {made}
    if made is not None and sides != {vision.image_size}:
        yield diagnostic(
            "FTC128",
            f"`{file.name}` makes images of another size than the model reads",
            span,
            notes=f"it says {made}, and `image_size` in config.json is {vision.image_size}",
            help="take both files from the model's original folder",
            path="model.base",
        )
