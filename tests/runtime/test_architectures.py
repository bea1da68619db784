"""Every row of the table of architectures says what transformers' own classes do: tiny models of each are inspected."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args
from unittest.mock import patch

import pytest
import torch
import transformers
from torch import nn
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto import modeling_auto as mappings
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from ftc.compiler.resolve.models.model import misfits
from ftc.compiler.resolve.models.model_config import read_config
from ftc.runtime.evaluation.shortcuts import find_last_layer
from ftc.runtime.models.base_model import scale_rotation
from ftc.runtime.models.sharding import stacks_of
from ftc.runtime.tasks.chunked_head import behind_the_layer
from ftc.runtime.training.router_loss import routers_of
from ftc.spec.architectures import ARCHITECTURES, Architecture, BehindHead, Family, Mixture, architecture
from ftc.spec.documents.facts import TensorFacts
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.module_names import head_parts
from ftc.spec.tensor_parallel import is_whole_plan
from tests.support.tiny_architectures import INNER, tiny_config

pytestmark = pytest.mark.filterwarnings("ignore")

LANGUAGE: dict[Family, tuple[Any, Any]] = {
    "decoder": (transformers.AutoModelForCausalLM, mappings.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    "encoder": (transformers.AutoModelForMaskedLM, mappings.MODEL_FOR_MASKED_LM_MAPPING_NAMES),
    "encoder_decoder": (transformers.AutoModelForSeq2SeqLM, mappings.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
}
CLASSIFIERS = mappings.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
TAGGERS = mappings.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES
READERS = mappings.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES
KNOWN = [row for row in ARCHITECTURES if row.family is not None]
ALL_MODULES = "hidden_act activation_function hidden_activation feed_forward_proj activation".split()
ACTIVATIONS = {"openai-gpt": "gelu_new"}
"""What OpenAI's GPT calls `gelu` is what others call `gelu_new`."""
NOT_SAID = {"summary_prefix"}
"""What no class says: it was so in pretraining."""
IDS = torch.arange(5, 17)[None]  # (1, T)


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.model_type)
def test_a_row_says_what_the_class_does(row: Architecture) -> None:
    found = {name: fact for name, fact in observed(row).items() if fact is not None}
    said = {name: getattr(row, name) for name in found if getattr(row, name) is not None}
    assert said == {name: found[name] for name in said}
    unseen = {name for name in Architecture.__dataclass_fields__ if name not in OBSERVERS} - {"model_type"}
    assert unseen == NOT_SAID, "every column is compared"


def test_each_type_has_one_row() -> None:
    types = [row.model_type for row in ARCHITECTURES]
    assert len(types) == len(set(types))
    assert set(types) <= set(CONFIG_MAPPING), "transformers has every one of them"
    assert architecture("of-tomorrow").family is None


@pytest.mark.parametrize("kind", ["rwkv"])
def test_of_a_type_without_attention_is_known_what_it_does_with_padding(kind: str) -> None:
    assert architecture(kind).reads_padding
    assert "positions" in architecture(kind).unknown


class Tiny:
    """A tiny model of a type, and what it is made of."""

    def __init__(self, row: Architecture) -> None:
        assert row.family is not None
        self.row = row
        self.family: Family = row.family
        self.auto, self.mapping = LANGUAGE[row.family]
        self.config = tiny_config(row.model_type)
        torch.manual_seed(0)
        self.model: Any = self.auto.from_config(self.config).train()
        self.default = CONFIG_MAPPING[row.model_type]()
        self.source = inspect.getsource(sys.modules[type(self.model).__module__])
        self.parameters = dict(self.model.named_parameters())
        self.layers = stacks_of(self.model)[-1][1] if row.model_type != "albert" else [_albert_layer(self.model)]

    def rate(self, *names: str) -> float:
        """The default rate of the first of some keys."""
        found = (getattr(self.default, name, None) for name in names)
        return next((rate for rate in found if isinstance(rate, float | int)), 0.0)

    def forward(self, **options: Any) -> Any:
        """One row through the model."""
        if self.family == "encoder_decoder":
            options["decoder_input_ids"] = IDS
        return self.model(input_ids=IDS, **options)

    def head(self, mapping: dict[str, str]) -> set[str] | None:
        """Names of a task model's weights; None where there is no such class."""
        if self.row.model_type not in mapping:
            return None
        with torch.device("meta"):
            model = getattr(transformers, mapping[self.row.model_type])(self.config)
        return {name.removeprefix(f"{model.base_model_prefix}.") for name, _ in model.named_parameters()}

    @property
    def pretrained(self) -> set[str]:
        """Names of the weights that a pretrained model has, with its pooler."""
        with torch.device("meta"):
            base = transformers.AutoModel.from_config(self.config)
        prefix = f"{self.model.base_model_prefix}."
        return {name.removeprefix(prefix) for name in self.parameters} | {name for name, _ in base.named_parameters()}


def observed(row: Architecture) -> dict[str, Any]:
    """What can be seen of each column; None where a type has nothing to see it by."""
    tiny = Tiny(row)
    return {name: observe(tiny) for name, observe in OBSERVERS.items()}


def _family(tiny: Tiny) -> Family | None:
    is_both = bool(tiny.config.is_encoder_decoder)
    return (
        tiny.family if tiny.row.model_type in tiny.mapping and is_both == (tiny.family == "encoder_decoder") else None
    )


def _widths_in_config(tiny: Tiny) -> bool:
    tensors = {name: TensorFacts(dtype="F32", shape=tuple(one.shape)) for name, one in tiny.parameters.items()}
    stored = {**json.loads(tiny.config.to_json_string()), "architectures": [type(tiny.model).__name__]}
    return not misfits(read_config(stored), tensors)


def _inner_ratio(tiny: Tiny) -> int:
    with torch.device("meta"):
        model = tiny.auto.from_config(tiny_config(tiny.row.model_type, inner=False))
    widths = {width for name, one in model.named_parameters() if one.dim() == 2 for width in one.shape}
    return 4 if 4 * 32 in widths else 0


def _transposed(tiny: Tiny) -> bool:
    return any(type(module).__name__ == "Conv1D" for module in tiny.model.modules())


def _positions(tiny: Tiny) -> str | None:
    if any("relative_attention_bias" in name for name in tiny.parameters) and tiny.family == "encoder_decoder":
        return "relative"
    for sign, positions in (("apply_rotary", "rotary"), ("alibi", "alibi"), ("Sinusoidal", "sinusoidal")):
        if sign in tiny.source:
            return positions
    if hasattr(tiny.default, "pos_att_type"):
        return "disentangled"
    if "create_position_ids_from_input_ids" in tiny.source:
        return "learned after padding"
    return "learned" if any("position" in name or "wpe" in name for name in tiny.parameters) else None


def _scales_rotation(tiny: Tiny) -> bool | None:
    """Whether a scaled configuration changes the answer, and is one for all layers."""
    config = tiny_config(tiny.row.model_type)
    rotations = getattr(config, "rope_parameters", None)
    if not isinstance(rotations, dict) or any(isinstance(one, dict) for one in rotations.values()):
        return False  # none, or one for each kind of layer
    if rotations.get("rope_type", "default") != "default":
        return None  # scaled by the type itself, and not scaled again
    positions = config.max_position_embeddings
    scale_rotation(config, RopeSettings(kind="linear", factor=4.0, original=positions, positions=4 * positions))
    torch.manual_seed(0)
    scaled = tiny.auto.from_config(config).eval()
    with torch.no_grad():
        return not torch.allclose(scaled(input_ids=IDS).logits, tiny.model.eval()(input_ids=IDS).logits, atol=1e-6)


def _window_every(tiny: Tiny) -> int:
    kinds = ["sliding" in kind for kind in getattr(tiny.default, "layer_types", None) or ()]
    is_listed = hasattr(tiny.default, "global_attn_every_n_layers") or tiny.row.model_type == "modernbert"
    return kinds.index(False) + 1 if True in kinds and not is_listed else 0


def _norm(tiny: Tiny) -> str:
    """By what autograd keeps of a frozen norm's input in half precision, and by the type of what it gives."""
    norms = (module for module in tiny.model.modules() if type(module).__name__.endswith("Norm"))
    norm = next(one for one in norms if getattr(one, "weight", None) is None or one.weight.shape == (32,))
    if "NativeLayerNorm" in norm(torch.randn(2, 3, 32, requires_grad=True)).grad_fn.name():
        return "fused"
    states, kept = torch.randn(2, 3, 32, dtype=torch.bfloat16, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        given = norm.requires_grad_(requires_grad=False)(states)
        norm.requires_grad_(requires_grad=True)
    if any(one.data_ptr() == states.data_ptr() for one in kept):
        return "composed twice"
    return "composed in its input's type" if given.dtype == states.dtype else "composed"


def _two_norms(tiny: Tiny) -> bool:
    read: list[torch.Tensor] = []
    norms = [module for module in tiny.layers[-1].modules() if type(module).__name__.endswith("Norm")]
    hooks = [norm.register_forward_pre_hook(lambda _, states: read.append(states[0])) for norm in norms]
    tiny.forward()
    for hook in hooks:
        hook.remove()
    return len(read) > len(set(map(id, read)))


def _activation(tiny: Tiny) -> str | None:
    if tiny.row.model_type in ACTIVATIONS:
        return ACTIVATIONS[tiny.row.model_type]
    return next((getattr(tiny.default, key) for key in ALL_MODULES if getattr(tiny.default, key, None)), None)


def _dropout(tiny: Tiny) -> float:
    return tiny.rate(
        *("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "dropout_rate", "dropout", "resid_dropout"),
        "residual_dropout",
    )


def _attention_dropout(tiny: Tiny) -> float:
    if tiny.row.positions == "relative":
        return tiny.rate("dropout_rate")
    return tiny.rate("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop")


def _inner_dropout(tiny: Tiny) -> bool:
    """Whether something as wide as between the two halves of a feed-forward part is dropped at the usual rate."""
    widths: set[int] = set()

    def dropout(states: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        widths.update([states.shape[-1]] * (p == 0.25 and training and not inplace))
        return states

    model = tiny.auto.from_config(tiny_config(tiny.row.model_type, rate=0.25)).train()
    before, tiny.model = tiny.model, model
    with patch("torch.nn.functional.dropout", dropout):
        tiny.forward()
    tiny.model = before
    return not widths.isdisjoint((INNER, 4 * 32))


def _ends_with_product(tiny: Tiny) -> bool:
    """Whether the last product is reached from a layer's output through sums, views and constant factors alone."""
    ends: list[Any] = []
    hook = tiny.layers[-1].register_forward_hook(lambda _, __, output: ends.append(output))
    tiny.forward()
    hook.remove()
    output = ends[-1]
    while not isinstance(output, torch.Tensor):
        output = output[0]
    return any(INNER in shape or 4 * 32 in shape for shape in _products(output.grad_fn))


def _products(node: Any) -> Iterator[tuple[int, ...]]:
    """Shapes of the weights of the products that nothing is kept behind."""
    name = node.name() if node else ""
    if name.startswith(("Mm", "Addmm")):
        for inner, _ in node.next_functions:
            one = inner if not inner or hasattr(inner, "variable") else inner.next_functions[0][0]  # transposed
            if hasattr(one, "variable"):
                yield tuple(one.variable.shape)
    is_free = name.startswith(("Add", "View", "UnsafeView"))
    is_scaled = name.startswith("Mul") and sum(inner is not None for inner, _ in node.next_functions) == 1
    if is_free or is_scaled:
        for inner, _ in node.next_functions:
            yield from _products(inner)


def _widens_keys(tiny: Tiny) -> bool | None:
    if tiny.family != "decoder":
        return None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = tiny.forward(use_cache=True).get("past_key_values")
    types = found and (found.layers[0].keys.dtype, found.layers[0].values.dtype)
    return types == (torch.float32, torch.bfloat16) if types else None


def _unquantized(tiny: Tiny) -> tuple[str, ...]:
    return tuple(f".{name}" for name in sorted(tiny.model._keep_in_fp32_modules or ()))


def _counts_padding(tiny: Tiny) -> bool | None:
    if tiny.family != "decoder":
        return None
    return not _says_the_same(tiny, torch.cat([IDS[:, :-2], torch.zeros(1, 6, dtype=torch.long), IDS[:, -2:]], 1))


def _reads_padding(tiny: Tiny) -> bool | None:
    if tiny.family != "decoder":
        return None
    return not _says_the_same(tiny, torch.cat([torch.zeros(1, 6, dtype=torch.long), IDS], 1))


def _says_the_same(tiny: Tiny, padded: torch.Tensor) -> bool:
    """Whether the last token's logits are as they are without padding, where a mask hides it."""
    mask = (padded != 0).long()
    takes_places = "position_ids" in inspect.signature(tiny.model.forward).parameters
    places = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if takes_places else {}
    with torch.no_grad():
        plain = tiny.model(input_ids=IDS).logits[0, -1]
        other = tiny.model(input_ids=padded, attention_mask=mask, **places).logits[0, -1]
    return torch.allclose(plain, other, atol=1e-4)


def _classifier(tiny: Tiny) -> set[str] | None:
    return _new(tiny, CLASSIFIERS)


def _new(tiny: Tiny, mapping: dict[str, str]) -> set[str] | None:
    names = tiny.head(mapping)
    return None if names is None else {name.partition(".")[0] for name in names - tiny.pretrained}


def _classifier_layers(tiny: Tiny) -> int | None:
    names = tiny.head(CLASSIFIERS)
    return None if names is None else sum(name.endswith("weight") for name in names - tiny.pretrained)


def _classifier_reads_one(tiny: Tiny) -> bool | None:
    """What a run finds out by calling the last layer's modules alone."""
    name = CLASSIFIERS.get(tiny.row.model_type)
    if name is None or tiny.family == "encoder_decoder":  # its classifiers are never asked
        return None
    model = getattr(transformers, name)(tiny.config).eval()
    states = {"input_ids": IDS.view(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}
    places = torch.full((2,), 5 if tiny.family == "decoder" else 0)
    with torch.inference_mode():
        return bool(find_last_layer(model, lambda: model(**states).logits, places, 6).modules)


def _kept(tiny: Tiny, mapping: dict[str, str]) -> tuple[str, ...] | None:
    names = tiny.head(mapping)
    return None if names is None else tuple({part for name in names & tiny.pretrained for part in head_parts(name)})


def _modules_of(mapping: dict[str, str], families: tuple[Family, ...]) -> Callable[[Tiny], Any]:
    """Which modules of a head are untrained, in the row's order."""

    def observe(tiny: Tiny) -> tuple[str, ...] | None:
        if tiny.family not in families:
            return ()
        found, said = _new(tiny, mapping) or set(), (mapping is CLASSIFIERS and tiny.row.classifier) or ()
        return tuple(sorted(found, key=lambda name: said.index(name) if name in said else -1))

    return observe


def _tokens(tiny: Tiny) -> tuple[Any, ...] | None:
    name = TOKENIZER_MAPPING_NAMES.get(tiny.row.model_type)
    options = inspect.signature(getattr(transformers, name).__init__).parameters if name else {}
    found = tuple(options[key].default if key in options else None for key in ("bos_token", "eos_token", "pad_token"))
    return found if any(found) else None


def _albert_layer(model: Any) -> nn.Module:
    layer: nn.Module = model.albert.encoder.albert_layer_groups[0].albert_layers[0]
    return layer


def _behind_head(tiny: Tiny) -> str | None:
    """What gives the model's own scores from those of its output layer, where each way would give others."""
    if tiny.family == "encoder":
        return None
    model, layer = tiny.model.eval(), tiny.model.get_output_embeddings()
    for name, value in {"final_logit_softcapping": 0.5, "logits_scaling": 4.0}.items():
        if hasattr(model.config, name):
            setattr(model.config, name, value)
    if isinstance(bias := getattr(model, "final_logits_bias", None), torch.Tensor):
        bias.copy_(torch.randn_like(bias))
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output))
    with torch.no_grad():
        found = tiny.forward().logits
    hook.remove()
    for name in get_args(BehindHead):
        row = replace(tiny.row, behind_head=name)
        try:
            with patch("ftc.runtime.tasks.chunked_head.architecture", lambda _, row=row: row):
                ours = behind_the_layer(model)(seen[0])
        except AttributeError:  # it has no such value
            continue
        if torch.equal(ours, found):
            return str(name)
    return None


def _mixture(tiny: Tiny) -> Mixture | str | None:
    """By the modules whose choices transformers records, and the weights of three dimensions beside them."""
    recorded = getattr(type(tiny.model), "_can_record_outputs", None) or {}
    if "router_logits" not in recorded:
        return "dense"
    said = tiny.row.experts
    assert said is not None
    routers = [
        name for name, one in tiny.model.named_modules() if one in {router for router, _ in routers_of(tiny.model)}
    ]
    in_files = revert_weight_conversion(tiny.model, dict(tiny.model.state_dict()))
    experts = {name for name, one in tiny.parameters.items() if one.dim() == 3}
    assert experts, "all experts of a layer are one tensor"
    widths = {width for name in experts for width in tiny.parameters[name].shape}
    inner = next(
        key for key in ("moe_intermediate_size", "intermediate_size") if getattr(tiny.config, key, 0) in widths
    )
    for names in (tiny.parameters, in_files):
        of_experts = sum(names[name].numel() for name in names if said.is_expert(name))
        assert of_experts == sum(tiny.parameters[name].numel() for name in tiny.parameters if said.is_expert(name))
    assert all(map(said.is_expert, experts)), experts
    assert {name.rpartition(".")[0] for name in tiny.parameters if said.is_router(name)} >= set(routers)
    assert sum(map(said.is_router, in_files)) == sum(map(said.is_router, tiny.model.state_dict()))
    conversions = pytest.importorskip("peft.utils.transformers_weight_conversion")
    pattern = conversions._MODEL_TO_CONVERSION_PATTERN.get(tiny.row.model_type)
    names = tuple(conversions._MOE_TARGET_MODULE_MAPPING.get(pattern, ()))
    return replace(said, inner=inner, has_loss="def load_balancing_loss_func" in tiny.source, peft_names=names)


def _divides_layers(tiny: Tiny) -> bool:
    """By transformers' plan; `tests/runtime/test_tensor_parallel.py` compares what processes compute by it."""
    plan = getattr(type(tiny.config), "base_model_tp_plan", None)
    return tiny.family == "decoder" and _mixture(tiny) == "dense" and is_whole_plan(plan)


def _widens_latents(tiny: Tiny) -> str:
    """The linear layer that reads states of four dimensions: one latent, as if it were a head."""
    found = set()

    def note(name: str, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].dim() == 4:
            found.add(name.rpartition(".")[2])

    linear = ((name, one) for name, one in tiny.model.named_modules() if isinstance(one, nn.Linear))
    hooks = [one.register_forward_pre_hook(partial(note, name)) for name, one in linear]
    tiny.forward()
    for hook in hooks:
        hook.remove()
    return " ".join(sorted(found))


OBSERVERS: dict[str, Callable[[Tiny], Any]] = {
    "family": _family,
    "widths_in_config": _widths_in_config,
    "inner_ratio": _inner_ratio,
    "transposed": _transposed,
    "positions": _positions,
    "scales_rotation": _scales_rotation,
    "window_every": _window_every,
    "norm": _norm,
    "two_norms": _two_norms,
    "activation": _activation,
    "dropout": _dropout,
    "attention_dropout": _attention_dropout,
    "inner_dropout": _inner_dropout,
    "ends_with_product": _ends_with_product,
    "widens_keys": _widens_keys,
    "unquantized": _unquantized,
    "recomputes": lambda tiny: bool(tiny.model.supports_gradient_checkpointing),
    "counts_padding": _counts_padding,
    "reads_padding": _reads_padding,
    "classifier": _modules_of(CLASSIFIERS, ("decoder", "encoder", "encoder_decoder")),
    "classifier_layers": _classifier_layers,
    "classifier_reads_one": _classifier_reads_one,
    "classifier_keeps": lambda tiny: _kept(tiny, CLASSIFIERS),
    "tagger": _modules_of(TAGGERS, ("decoder", "encoder")),
    "span_head": _modules_of(READERS, ("encoder",)),
    "tagger_keeps": lambda tiny: _kept(tiny, TAGGERS) if tiny.family == "encoder" else (),
    "tokens": _tokens,
    "mixture": _mixture,
    "divides_layers": _divides_layers,
    "widens_latents": _widens_latents,
    "behind_head": _behind_head,  # the last one, since it changes the model's configuration
}
