"""The numbers of an inspection beside plain linear algebra on the whole tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from ftc.runtime.inspection.states import States, compared_states
from ftc.runtime.inspection.updates import adapter_changes, first_factors, stored_weights, whole_changes


class Tiny(torch.nn.Module):
    """An embedding, a linear layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(30, 16)
        self.inner = torch.nn.Linear(16, 24)
        self.head = torch.nn.Linear(24, 3)

    def forward(self, ids: Any) -> Any:
        """Scores."""
        return self.head(self.inner(self.embed(ids)))


def adapted(**options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["inner", "embed"], modules_to_save=["head"], **options)
    return get_peft_model(Tiny(), config)


def train(model: Any) -> None:
    """Some other values in everything that is trained."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def whole_weight(model: Any, name: str) -> Any:
    """A weight with the adapter in it, by peft itself."""
    import copy

    return copy.deepcopy(model).merge_and_unload().get_submodule(name).weight.detach().double()


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"init_lora_weights": "pissa"}])
def test_an_adapters_changes_are_those_of_the_whole_tensors(options: dict[str, Any]) -> None:
    model = adapted(**options)
    before = first_factors(model)
    assert bool(before) == (options.get("init_lora_weights") == "pissa")
    starts = {name: whole_weight(model, name) for name in ("inner", "embed", "head")}
    train(model)
    found = {change.name: (change, table) for change, table in adapter_changes(model, before)}
    for name, start in starts.items():
        change, table = found[name]
        moved = whole_weight(model, name) - start
        values = torch.linalg.svdvals(moved)
        shares = values[values > values[0] * 1e-6] / values.sum()
        assert change.update_norm == pytest.approx(float(moved.norm()), rel=1e-4)
        assert change.spectral_norm == pytest.approx(float(values[0]), rel=1e-4)
        assert change.stable_rank == pytest.approx(float((values**2).sum() / values[0] ** 2), rel=1e-4)
        assert change.effective_rank == pytest.approx(math.exp(-float((shares * shares.log()).sum())), rel=1e-3)
        if table is not None:
            assert table.distances.double().tolist() == pytest.approx(moved.norm(dim=1).tolist(), rel=1e-3)
    assert found["inner"][0].kind == ("dense" if options.get("use_dora") else "factors")
    assert found["embed"][1] is not None
    assert found["head.bias"][0].effective_rank is None


def test_a_change_that_cannot_be_computed_leaves_the_model_as_it_was() -> None:
    from peft import VeraConfig, get_peft_model

    model: Any = get_peft_model(Tiny(), VeraConfig(r=4, target_modules=["inner"]))
    layer = model.base_model.model.inner
    layer.vera_lambda_b["default"].data.fill_(math.nan)
    kept = layer.base_layer.weight.data_ptr()
    with pytest.raises(ValueError, match="NaN"):
        list(adapter_changes(model, {}))
    assert layer.base_layer.weight.data_ptr() == kept, "its own tensor, which may be packed"
    assert not layer.merged


def test_large_tensors_have_a_largest_singular_value_and_no_effective_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr("ftc.runtime.inspection.updates._LARGEST_GRAM", 8)
    generator = torch.Generator().manual_seed(2)
    old = torch.randn(20, 12, generator=generator)
    moved = torch.randn(20, 12, generator=generator) + 3
    save_file({"layers.3.mlp.up.weight": old, "layers.3.mlp.up.bias": old[0].clone()}, tmp_path / "base.safetensors")
    new = {"layers.3.mlp.up.weight": old + moved, "layers.3.mlp.up.bias": old[0] + 1, "score.weight": old[:2].clone()}
    save_file(new, tmp_path / "tuned.safetensors")
    stored = stored_weights(tmp_path, ["base.safetensors"])
    found = {one.name: one for one, _ in whole_changes(stored, tmp_path / "tuned.safetensors")}
    up = found["layers.3.mlp.up"]
    assert (up.layer, up.module, up.effective_rank, up.rank_limit) == (3, "up", None, 12)
    assert up.spectral_norm == pytest.approx(float(torch.linalg.matrix_norm(moved, 2)), rel=1e-4)
    assert found["layers.3.mlp.up.bias"].update_norm == pytest.approx(math.sqrt(12), rel=1e-5)
    assert (found["score"].kind, found["score"].relative) == ("new", None)


def test_states_are_compared_as_the_papers_say() -> None:
    torch.manual_seed(3)
    old = torch.randn(40, 6)
    turned = old @ torch.linalg.qr(torch.randn(6, 6)).Q * 3
    found = compared_states(States({("layers", 0): old}, (40,)), States({("layers", 0): turned}, (40,)))
    assert found[0].cka == pytest.approx(1.0)
    assert found[0].cosine is not None
    assert found[0].cosine < 0.9
    same = compared_states(States({("layers", 0): old}, (40,)), States({("layers", 0): old.clone()}, (40,)))
    assert same[0].cosine == pytest.approx(1.0)
    assert same[0].change == 0.0
    assert not compared_states(States({("layers", 0): old}, (40,)), States({("layers", 0): old}, (42,)))
