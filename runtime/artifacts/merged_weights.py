"""A base model's weights with the adapter in them, one after another: each is made when it is asked for.

peft adds the adapter to one layer at a time, in float32, and the sum is rounded once, to the type that is written.
Until then a weight is what its file says, which the system reads where it is needed; so no second model is ever held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from ftc.runtime.artifacts.tensor_files import Form, digest_of_tensor
from ftc.runtime.models.file_names import in_files, names_in_files
from ftc.runtime.strategies.ln_tuning import replaces_layer
from ftc.spec.storage.model_files import TensorDigest, content_digest

__all__ = ["MergedWeights", "NotFinite", "Unpack", "drops_types", "forget_types", "unpacked"]

Unpack = Callable[[], torch.Tensor]
"""Makes a weight out of its packed form."""


_NONE: Mapping[Any, Any] = MappingProxyType({})


class NotFinite(Exception):
    """A merged weight is no number in the type that it is written in; the text is the weight's name."""


@dataclass(slots=True)
class MergedWeights:
    """The merged weights of a model by name.

    Attributes:
        model: The base model by itself, whose weights go as they are asked for.
        forms: Type and shape of each weight that is written, in the model's order.
    """

    model: Any
    forms: dict[str, Form]
    _dtype: torch.dtype
    _sources: dict[str, str]
    """The model's own weights that those of files are parts of, by the latter's names."""
    _tensors: dict[str, torch.Tensor]
    _layers: dict[str, Any]
    """Layers with an adapter, by the weight that it changes."""
    _packed: Mapping[str, Unpack]
    _ready: dict[str, torch.Tensor] = field(default_factory=dict)
    """Parts of a weight that was taken apart, until they are asked for."""
    _digests: dict[str, TensorDigest] = field(default_factory=dict)

    @classmethod
    def of(cls, adapted: Any, dtype: torch.dtype, packed: Mapping[str, Unpack]) -> MergedWeights:
        """Of a model with its adapter, which is taken apart.

        Args:
            adapted: peft's model.
            dtype: What is written.
            packed: Weights that the adapter has to be added to instead of the model's own, by name.
        """
        from peft.tuners.tuners_utils import BaseTunerLayer

        layers = [
            layer for layer in adapted.modules() if isinstance(layer, BaseTunerLayer) and hasattr(layer, "base_layer")
        ]
        _untie(adapted.get_base_model(), layers)
        changed = {id(part): layer for layer in layers for part in _changed_parts(layer)}
        for layer in layers:
            if replaces_layer(layer):
                layer.merge()  # a trained norm takes the place of the other
        model = adapted.base_model.unload()
        from peft.utils.other import ModulesToSaveWrapper

        wrapped = [(name, one) for name, one in model.named_modules() if isinstance(one, ModulesToSaveWrapper)]
        for name, wrapper in wrapped:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, wrapper.modules_to_save["default"])
        return cls.whole(model, dtype, changed, packed)

    @classmethod
    def whole(
        cls, model: Any, dtype: torch.dtype, changed: Mapping[int, Any] = _NONE, packed: Mapping[str, Unpack] = _NONE
    ) -> MergedWeights:
        """Of a model without an adapter, or with layers whose adapter is added when their turn comes.

        Args:
            model: The model, whose weights are taken out of it one by one.
            dtype: What is written.
            changed: Layers with an adapter by the `id` of the weight that it is added to.
            packed: Weights that the adapter has to be added to instead of the model's own, by name.
        """
        tensors = dict(_kept(model))
        forms: dict[str, Form] = {}
        sources: dict[str, str] = {}
        for name, one in tensors.items():
            written = dtype if one.is_floating_point() else one.dtype
            for part, shape in in_files(model, {name: torch.empty(one.shape, device="meta")}).items():
                forms[part], sources[part] = (written, shape.shape), name
        found = {name: changed[id(one)] for name, one in tensors.items() if id(one) in changed}
        names = names_in_files(model)
        return cls(
            model, forms, dtype, sources, tensors, found, {names.get(name, name): one for name, one in packed.items()}
        )

    def __call__(self, name: str) -> torch.Tensor:
        """A weight as it is written; it can be asked for once.

        Raises:
            NotFinite: It isn't a number any more.
        """
        if name not in self._ready:
            source = self._sources[name]
            self._ready |= in_files(self.model, {source: self._made(source)})
        written = self._ready.pop(name).contiguous()
        self._digests[name] = digest_of_tensor(written)
        return written

    def _made(self, name: str) -> torch.Tensor:
        """One of the model's own weights with its adapter in it."""
        layer = self._layers.get(name)
        if layer is not None and not layer.merged:
            self._merge(layer, f"{name.rpartition('.')[0]}.weight")
        elif layer is None and name in self._packed:
            self._tensors[name].data = self._packed[name]()
        made = self._tensors.pop(name)
        written = made.detach().to(self._dtype if made.is_floating_point() else made.dtype)
        made.data = torch.empty(0)  # the layer still holds it
        if written.is_floating_point() and not written.isfinite().all():
            raise NotFinite(name)
        return written

    def content_digest(self) -> str:
        """Digest of all weights, once each was asked for."""
        assert self._digests.keys() == self.forms.keys(), "each weight was asked for"
        return content_digest(self._digests)

    def _merge(self, layer: Any, name: str) -> None:
        """Adds a layer's adapter to it; what is called first may be its bias, which an adapter may change as well."""
        base = layer.get_base_layer()
        if name in self._packed:
            base.weight.data = self._packed[name]()
        for part in _changed_parts(layer):
            part.data = part.data.float()
        try:
            layer.merge(safe_merge=True)
        except ValueError as error:
            raise NotFinite(name) from error


def _changed_parts(layer: Any) -> list[nn.Parameter]:
    """The base's weights that an adapter changes: one tensor of experts, or all of a layer."""
    base = layer.get_base_layer()
    name = getattr(layer, "parameter_name", None)
    return [*base.parameters(recurse=False)] if name is None else [getattr(base, name)]


def unpacked(adapted: Any) -> dict[str, Unpack]:
    """How to make the weights of a model's packed layers, by their names in the base model."""
    from peft.utils.integrations import dequantize_bnb_weight

    def maker(layer: Any) -> Unpack:
        return lambda: dequantize_bnb_weight(layer.weight, state=getattr(layer, "state", None))

    return {
        f"{name.removesuffix('.base_layer')}.weight": maker(layer)
        for name, layer in adapted.get_base_model().named_modules()
        if type(getattr(layer, "weight", None)).__name__ in ("Params4bit", "Int8Params")
    }


def drops_types(adapted: Any) -> bool:
    """Whether a model with an adapter is never told which of two texts a token belongs to, although its base would be.

    peft doesn't hand that on to a model that cuts out answers; so the run learned, and was measured, without it.
    """
    if getattr(adapted.config, "type_vocab_size", 0) < 2:
        return False
    ids = torch.arange(4)[None]
    first, second = (
        adapted(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.full_like(ids, kind))[0]
        for kind in (0, 1)
    )
    return torch.equal(first, second)


def forget_types(adapted: Any) -> None:
    """Gives all types of tokens the first one's vector, which is what a model says that isn't told of types."""
    for name, table in adapted.named_modules():
        if name.endswith("token_type_embeddings") and isinstance(table, nn.Embedding):
            table.weight.data = table.weight.data[:1].repeat(table.num_embeddings, 1)


def _untie(model: Any, layers: list[Any]) -> None:
    """Gives other layers weights of their own where they share those that an adapter changes."""
    holders = Counter(id(part) for layer in model.modules() for part in layer.parameters(recurse=False))
    bases = [layer.get_base_layer() for layer in layers]
    shared = {id(part) for base in bases for part in base.parameters(recurse=False) if holders[id(part)] > 1}
    for layer in model.modules():
        if layer in bases:
            continue
        for name, part in layer.named_parameters(recurse=False):
            if id(part) in shared:
                setattr(layer, name, nn.Parameter(part.detach().clone(), requires_grad=False))
                model.config.tie_word_embeddings = False


def _kept(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What a file of the model holds: each weight by its first name in files, and the buffers that are saved."""
    parts: dict[str, torch.Tensor] = {**dict(model.named_buffers()), **dict(model.named_parameters())}
    names = names_in_files(model)
    return ((names.get(name, name), parts[name]) for name in model.state_dict() if name in parts)
