"""Loads a base model: the only place that does, from the folder whose digests `verify` has compared with the plan.

Weights come from safetensors files alone, without the network, and no code of a model's folder is ever run. The memory
trace builds its model by the same code, from shapes alone: it hands in another `Base`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ftc.runtime.models.number_types import torch_type
from ftc.runtime.models.packed_layers import load_packed
from ftc.runtime.models.quantized_layers import quiet_torchao
from ftc.runtime.models.recomputing import checkpoint_activations
from ftc.runtime.models.sharding import split_like
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card
from ftc.spec.quantized_files import files_card, method_of

LOADING = ("attn_implementation", "dtype", "quantization_config")
"""Options of loading that are no values of a model's configuration."""

__all__ = [
    "LOADING",
    "Base",
    "FolderBase",
    "auto_class",
    "from_files",
    "frozen_base",
    "frozen_dtype",
    "frozen_parts",
    "head_options",
    "keep_differentiable",
    "load_base",
    "load_weights",
    "misfit",
    "num_outputs",
    "peft_task",
    "quiet_transformers",
    "scale_rotation",
    "trainable_tensors",
]


class Base(Protocol):
    """Where a base model comes from."""

    @property
    def is_whole(self) -> bool:
        """Whether it has all layers, so that the plan's counts of modules hold."""
        ...

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """A model of the class that `kind`, one of transformers' Auto classes, finds for it.

        Args:
            kind: Decides about the head.
            options: `dtype`, `attn_implementation`, `quantization_config`, and values for the model's configuration.

        Raises:
            OSError, ValueError, KeyError, RuntimeError: It can't be loaded; the text is shown.
        """
        ...


class FolderBase:
    """A model's folder, with all its weights.

    Raises:
        Refusal: FTC634, an adapter lies beside the weights.
    """

    is_whole = True

    def __init__(self, folder: Path) -> None:
        if (folder / "adapter_config.json").exists():
            summary = "the base model's folder also holds an adapter"
            note = "because of `adapter_config.json` transformers would load more than the plan's files"
            help = "move its two files elsewhere; `ftc run merge` makes a complete model of a run's adapter"
            raise Refusal([diagnostic("FTC634", summary, notes=note, help=help)])
        self._folder = folder

    def load(self, kind: Any, options: dict[str, Any]) -> Any:
        """The weights, from safetensors files and without the network."""
        packed = options.pop("packed", None)
        if (rope := options.pop("rope", None)) is not None:
            from transformers import AutoConfig

            values = {key: options.pop(key) for key in [*options] if key not in LOADING}
            options["config"] = AutoConfig.from_pretrained(self._folder, local_files_only=True, **values)
            scale_rotation(options["config"], rope)
        return from_files(kind, self._folder, options, packed)


def from_files(kind: Any, folder: Path, options: Mapping[str, Any], packed: PackedWeights | None = None) -> Any:
    """A model of safetensors files, without the network; weights that they hold quantized are dequantized, or kept.

    Args:
        kind: One of transformers' Auto classes.
        folder: Where they lie.
        options: Of `from_pretrained`.
        packed: Layers that are kept as files hold them; None where none are.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = files_card(method_of(config) or "")
    more: dict[str, Any] = {}
    if card is not None and card.dequantizer is not None:
        import transformers

        more["quantization_config"] = getattr(transformers, card.dequantizer.config)(dequantize=True)
    reading = {"local_files_only": True, "use_safetensors": True, **options, **more}
    model = kind.from_pretrained(folder, **reading) if packed is None else load_packed(kind, folder, reading, packed)
    if more:
        from transformers.conversion_mapping import get_model_conversion_mapping

        # transformers forgets by what names it read, which are those that are written.
        names = get_model_conversion_mapping(model, add_legacy=False)
        model._weight_conversions = [one for one in names if type(one).__name__ != "PrefixChange"]
    return model


def load_base(settings: Settings, base: Base, *, is_new: bool = True, **options: Any) -> Any:
    """The one call that loads a model.

    Args:
        settings: Which head it has, and how it computes attention.
        base: Where it comes from.
        is_new: Whether its head is untrained, with names for its outputs.
        options: How its weights are held.

    Raises:
        Refusal: It can't be loaded (FTC635).
    """
    options["attn_implementation"] = settings.model.attention
    if settings.model.rope is not None:
        options["rope"] = settings.model.rope
    if settings.model.packed is not None:
        options["packed"] = settings.model.packed
    if settings.model.vision is None:  # else it is a value of the language model's configuration, inside of this one
        options["pad_token_id"] = settings.model.pad_id
    options |= head_options(settings) if is_new else num_outputs(settings)
    seed_everything(settings.seeds.init)  # a new head is drawn while the model is loaded
    try:
        with quiet_transformers():
            model = base.load(auto_class(settings), options)
            add_rows(model, settings)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        summary = f"`{settings.model.base}` can't be loaded as {settings.model.architecture}"
        note = f"transformers says: {reason[0][:300]}"
        help = "check the model's folder with `ftc plan`, or install another version of transformers"
        raise Refusal([diagnostic("FTC635", summary, notes=note, help=help)]) from error
    if not head_card(settings.model.head).is_new and getattr(model, "pooler", None) is not None:
        model.pooler = None  # a layer behind the states, which nothing reads and no gradient reaches
    return model


def scale_rotation(config: Any, rope: RopeSettings) -> None:
    """Writes scaled rotary positions into a model's configuration, in the words of transformers 5 or 4."""
    text = config.get_text_config()
    known = getattr(text, "rope_parameters", None)
    if isinstance(known, dict):
        kept = {key: known[key] for key in ("rope_theta", "partial_rotary_factor") if known.get(key) is not None}
        text.rope_parameters = {**kept, **rope.parameters()}
    else:
        text.rope_scaling = rope.parameters()
    text.max_position_embeddings = rope.values()["max_position_embeddings"]


def add_rows(model: Any, settings: Settings) -> None:
    """Gives the vocabulary's tables a row for each added token, as transformers does: drawn around the others' mean."""
    own = settings.model.tokenizer
    if own is None:
        return
    table = model.get_input_embeddings()
    if table.num_embeddings < own.rows:  # on shapes alone there is no mean
        model.resize_token_embeddings(own.rows, mean_resizing=not table.weight.is_meta)


def frozen_base(settings: Settings, base: Base) -> Any:
    """A base of which nothing is trained, in the type that the plan's arithmetic has."""
    model = load_base(settings, base, dtype=frozen_dtype(settings))
    model.requires_grad_(False)
    checkpoint_activations(model, settings.train.activation_checkpointing, frozen_parts(settings))
    return model


def frozen_parts(settings: Settings) -> tuple[str, ...]:
    """Modules in front of a language model that are not trained, by name; none of a model that reads text alone."""
    return settings.model.vision.frozen if settings.model.vision else ()


def frozen_dtype(settings: Settings) -> torch.dtype:
    """The type of frozen weights."""
    return torch_type(precision_card(settings.train.precision).frozen)


def trainable_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name; a shared one appears once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def keep_differentiable(model: Any) -> None:
    """Forbids a form of 4-bit weights that is for inference alone.

    On some CPUs bitsandbytes repacks weights at the first evaluation, for a kernel that no gradient passes; the
    training steps after an evaluation would then learn next to nothing, without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Leaves progress bars and the news of a new head to ftc's own events, and old names to those who use them."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with quiet_torchao(), warnings.catch_warnings():  # transformers imports torchao where it is installed
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def auto_class(settings: Settings) -> Any:
    """The Auto class of transformers that finds a model with this head."""
    import transformers

    return getattr(transformers, settings.model.auto_class)


def head_options(settings: Settings) -> dict[str, Any]:
    """What the model's configuration says of the head."""
    head, labels = head_card(settings.model.head), settings.text.labels
    if not head.names_outputs:
        return {}
    options: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    return options if head.problem_type is None else {**options, "problem_type": head.problem_type}


def num_outputs(settings: Settings) -> dict[str, Any]:
    """What the configuration has to say of a head that is there already."""
    return {"num_labels": len(settings.text.labels)} if head_card(settings.model.head).names_outputs else {}


def peft_task(settings: Settings) -> str:
    """peft's kind of task."""
    head = head_card(settings.model.head)
    return head.split_peft_task if settings.model.family == "encoder_decoder" else head.peft_task


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Puts trainable weights, by the model's own names, into a model.

    Raises:
        Refusal: Names or shapes are not the model's (FTC630).
    """
    parameters = trainable_tensors(model)
    if problem := misfit(parameters, {name: one.shape for name, one in weights.items()}):
        help = "move the run's folder away and apply again"
        raise Refusal([diagnostic("FTC630", "a checkpoint's weights don't match the model", notes=problem, help=help)])
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(split_like(weights[name], parameter))


def misfit(parameters: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]) -> str | None:
    """Why weights of such shapes are not those of a model's parameters, or None where they can be."""
    if others := sorted(parameters.keys() ^ shapes.keys()):
        return f"`{others[0]}` is only in the model or only in the checkpoint"
    for name, parameter in parameters.items():
        if parameter.shape != shapes[name]:
            return f"`{name}` has shape {tuple(shapes[name])} instead of {tuple(parameter.shape)}"
    return None
