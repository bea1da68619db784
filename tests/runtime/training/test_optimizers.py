"""The learning rate is a function of the step; only matrices decay; the optimizer's memory survives a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ftc.runtime.models.base_model import trainable_tensors
from ftc.runtime.models.number_types import torch_type
from ftc.runtime.training.optimizers import (
    CONSTRUCTIONS,
    evaluating,
    load_state,
    make_optimizer,
    set_learning_rate,
    state_misfit,
    state_tensors,
)
from ftc.spec.documents.loss_settings import GroupSettings
from ftc.spec.documents.selection import Selection
from ftc.spec.documents.settings import ScheduleSettings, TrainSettings
from ftc.spec.optimizer_card import OptimizerCard
from ftc.spec.optimizers import OPTIMIZERS
from ftc.spec.schedules import learning_rate_at
from tests.support.documents import plan
from tests.support.tiny_architectures import tiny_model
from tests.support.vision_models import write_llava

_MODEL = torch.nn.Module()
"""Its parameters are handed over beside it; only groups by name ask the model."""


def _train(kind: str = "linear", warmup_steps: int = 4, num_steps: int = 12, **changes: Any) -> TrainSettings:
    schedule = ScheduleSettings.model_validate({"kind": kind, "warmup_steps": warmup_steps})
    values = {"schedule": schedule, "num_steps": num_steps, "learning_rate": 1.0, "fused": False, **changes}
    return plan().settings.train.model_copy(update=values)


def test_the_rate_rises_and_falls() -> None:
    rates = [learning_rate_at(step, _train()) for step in range(12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([1 - step / 8 for step in range(8)])
    cosine = [learning_rate_at(step, _train("cosine")) for step in range(12)]
    assert cosine[4] == 1.0
    assert cosine[8] == pytest.approx(0.5)
    assert [learning_rate_at(step, _train("constant", 0)) for step in (0, 11)] == [1.0, 1.0]
    assert learning_rate_at(0, _train("linear", 1, 1)) == 1.0


def test_only_matrices_decay() -> None:
    parameters = {"w": torch.nn.Parameter(torch.ones(2, 2)), "b": torch.nn.Parameter(torch.ones(2))}
    rule = _train().optimizer.model_copy(update={"weight_decay": 0.1})
    groups = make_optimizer(parameters, _train(optimizer=rule), _MODEL).param_groups
    assert [(group["weight_decay"], group["params"][0].ndim) for group in groups] == [(0.1, 2), (0.0, 1)]


def _of(card: OptimizerCard, **changes: Any) -> TrainSettings:
    """Training by an optimizer's usual values."""
    usual = {"momentum": 0.9, **{one.name: one.value for one in card.usual}}
    rule = _train().optimizer.model_copy(update={"kind": card.kind, **usual})
    return _train(optimizer=rule, learning_rate=0.01, **changes)


def test_every_card_has_a_construction() -> None:
    assert [one.kind for one in CONSTRUCTIONS] == [card.kind for card in OPTIMIZERS]


ON_CPU = [pytest.param(card, card.fused, id=card.kind) for card in OPTIMIZERS if not card.paged]


@pytest.mark.parametrize(("card", "fused"), ON_CPU)
def test_state_is_as_large_as_the_card_says(card: OptimizerCard, fused: bool) -> None:
    pytest.importorskip(card.package.removeprefix("torch-"))
    shapes = {"model.layers.0.up.weight": (96, 80), "model.layers.0.up.bias": (96,), "model.embed.weight": (100, 80)}
    width = torch_type(card.weights)
    parameters = {name: torch.nn.Parameter(torch.ones(shape, dtype=width)) for name, shape in shapes.items()}
    optimizer = make_optimizer(parameters, _of(card, fused=fused), _MODEL)
    for parameter in parameters.values():
        parameter.grad = torch.full_like(parameter, 0.1)
    optimizer.step()
    found = dict.fromkeys(shapes, 0)
    for full_name, tensor in state_tensors(optimizer, parameters).items():
        name, _, part = full_name.rpartition("/")
        if part not in ("step", "RMS", "counts"):
            found[name] += tensor.nbytes
    for name, shape in shapes.items():
        expected = card.state.bytes_of(shape, momentum=0.9, in_layers=name == "model.layers.0.up.weight")
        assert found[name] == expected, name


@pytest.mark.parametrize(
    ("card", "fused"),
    [*ON_CPU, *(pytest.param(card, False, id=f"{card.kind}, plain") for card in OPTIMIZERS if card.fused)],
)
def test_memory_round_trip(card: OptimizerCard, fused: bool) -> None:
    pytest.importorskip(card.package.removeprefix("torch-"))
    train = _of(card, fused=fused)

    def steps(optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter], count: int) -> None:
        for number in range(count):
            for parameter in parameters.values():
                parameter.grad = torch.full_like(parameter, 0.1 * (number + 1))
            optimizer.step()

    def fresh() -> dict[str, torch.nn.Parameter]:
        width = torch_type(card.weights)
        return {
            name: torch.nn.Parameter(torch.ones(shape, dtype=width)) for name, shape in (("w", (80, 80)), ("b", (2,)))
        }

    whole = fresh()
    optimizer = make_optimizer(whole, train, _MODEL)
    steps(optimizer, whole, 3)
    with evaluating(optimizer):
        saved = {name: tensor.clone() for name, tensor in state_tensors(optimizer, whole).items()}
        resumed = {name: torch.nn.Parameter(parameter.detach().clone()) for name, parameter in whole.items()}
    again = make_optimizer(resumed, train, _MODEL)
    assert state_misfit(resumed, {name: tensor.shape for name, tensor in saved.items()}) is None
    load_state(again, resumed, saved)
    steps(optimizer, whole, 2)
    steps(again, resumed, 2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["w"], torch.ones_like(whole["w"]))


def test_a_stable_rate_falls_at_the_end() -> None:
    schedule = ScheduleSettings(kind="warmup_stable_decay", warmup_steps=2, decay_steps=4)
    rates = [learning_rate_at(step, _train(schedule=schedule)) for step in range(12)]
    assert rates == [0.5, *[1.0] * 7, 1.0, 0.75, 0.5, 0.25]


def test_a_plateau_is_torch_s_own() -> None:
    schedule = ScheduleSettings(kind="plateau", warmup_steps=0, patience=1, factor=0.5)
    train, selection = _train(schedule=schedule), Selection()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0)
    for step, loss in enumerate([3.0, 2.0, 2.5, 2.5, 2.1, 2.0, 1.9, 2.0, 2.0, 2.0, 2.0]):
        selection = selection.after(step, {"val_loss": loss}, train)
        theirs.step(loss)
        assert learning_rate_at(step, train) * selection.rate_factor == optimizer.param_groups[0]["lr"]


def test_lora_plus_gives_the_second_matrix_a_rate_of_its_own() -> None:
    names = ("q.lora_A.default.weight", "q.lora_B.default.weight", "classifier.bias")
    parameters = {name: torch.nn.Parameter(torch.ones(*([2] * (1 + ("lora" in name))))) for name in names}
    optimizer = make_optimizer(parameters, _train(b_rate_ratio=16.0), _MODEL)
    set_learning_rate(optimizer, 0.5)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    assert [rates[id(parameters[name])] for name in names] == [0.5, 8.0, 0.5]


def test_muon_is_torch_s_in_layers_and_adamw_elsewhere() -> None:
    card = next(one for one in OPTIMIZERS if one.splits_weights)
    names = ("layers.0.up.weight", "layers.0.up.bias", "embed_tokens.weight", "layers.0.relative_attention_bias.weight")
    parameters = {name: torch.nn.Parameter(torch.ones(4) if "up.bias" in name else torch.eye(4)) for name in names}
    theirs = {name: torch.nn.Parameter(one.detach().clone()) for name, one in parameters.items()}
    others = [theirs[name] for name in names[1:]]
    muon = torch.optim.Muon(
        [theirs[names[0]]], lr=0.01, momentum=0.95, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(others, lr=0.01, weight_decay=0.0)
    mine = make_optimizer(parameters, _of(card), _MODEL)
    for step in range(3):
        set_learning_rate(mine, 0.01)
        for found in (parameters, theirs):
            for one in found.values():
                one.grad = torch.arange(one.numel(), dtype=torch.float32).reshape(one.shape).sin() * (step + 1)
        for optimizer in (mine, muon, adamw):
            optimizer.step()
    assert all(torch.equal(parameters[name], theirs[name]) for name in names)


def test_schedule_free_shows_its_average_and_trains_on_as_if_nobody_had_looked() -> None:
    schedulefree = pytest.importorskip("schedulefree")
    card = next(one for one in OPTIMIZERS if one.package == "schedulefree")
    mine, theirs = ({"w": torch.nn.Parameter(torch.ones(4, 4))} for _ in range(2))
    optimizer = make_optimizer(mine, _of(card), _MODEL)
    library = schedulefree.AdamWScheduleFree(theirs.values(), lr=0.01, eps=1e-8)
    library.train()
    average = torch.zeros(4, 4)
    for step in range(4):
        for one in (mine["w"], theirs["w"]):
            one.grad = torch.arange(16.0).reshape(4, 4).sin() * (step + 1)
        optimizer.step()
        library.step()
        with evaluating(optimizer):
            average = mine["w"].detach().clone()
        assert torch.equal(mine["w"], theirs["w"])
    library.eval()
    assert torch.equal(average, theirs["w"])
    assert not torch.equal(average, mine["w"])


def test_a_new_head_has_a_rate_of_its_own_wherever_it_stands() -> None:
    names = (
        "base_model.model.classifier.modules_to_save.default.weight",
        "base_model.model.classifier.modules_to_save.default.bias",
        "base_model.model.encoder.classifiers.weight",
        "base_model.model.layer.0.query.lora_A.default.weight",
    )
    shapes = {name: (3,) if name.endswith("bias") else (3, 4) for name in names}
    parameters = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
    train = _train(learning_rate=2e-3, head_learning_rate=1e-3, head_modules=("classifier",))
    optimizer = make_optimizer(parameters, train, _MODEL)
    set_learning_rate(optimizer, 2e-3)
    rates = {
        name: group["lr"]
        for group in optimizer.param_groups
        for one in group["params"]
        for name, parameter in parameters.items()
        if one is parameter
    }
    assert rates == pytest.approx(dict(zip(names, (1e-3, 1e-3, 2e-3, 2e-3), strict=True)))
    alone = make_optimizer(parameters, _train(learning_rate=2e-3), _MODEL)
    assert {group["rate_ratio"] for group in alone.param_groups} == {1.0}


def test_each_group_of_parameters_has_its_rate_and_the_first_that_fits_counts() -> None:
    model = tiny_model("llama")
    ends = (
        "embed_tokens.weight",
        "layers.1.mlp.up_proj.weight",
        "layers.1.input_layernorm.weight",
        "layers.0.mlp.up_proj.weight",
    )
    parameters = {name: one for name, one in trainable_tensors(model).items() if name.endswith(ends)}
    groups = [(("embed_tokens",), 1e-4), (("layers.1.mlp", "input_layernorm"), 5e-4), (("layers.1",), 9e-4)]
    settled = tuple(GroupSettings(parameters=patterns, learning_rate=rate) for patterns, rate in groups)
    rule = _train().optimizer.model_copy(update={"kind": "sgd", "momentum": 0.0})
    train = _train(learning_rate=1e-3, parameter_groups=settled, optimizer=rule, fused=False)
    optimizer = make_optimizer(parameters, train, model)
    set_learning_rate(optimizer, 1e-3)
    for one in parameters.values():
        torch.nn.init.ones_(one)
        one.grad = torch.ones_like(one)
    optimizer.step()
    steps = {name: 1 - float(one.detach().flatten()[0]) for name, one in parameters.items()}
    expected = dict(zip(ends, (1e-4, 5e-4, 5e-4, 1e-3), strict=True))
    assert steps == {
        name: pytest.approx(rate, rel=1e-3) for end, rate in expected.items() for name in steps if name.endswith(end)
    }


@pytest.mark.parametrize(
    ("model_type", "adapted", "in_file"),
    [("mixtral", False, "block_sparse_moe"), ("llava", True, "language_model.model.layers.1")],
)
def test_groups_go_by_the_names_that_a_model_has_in_its_files(
    tmp_path: Path, model_type: str, adapted: bool, in_file: str
) -> None:
    """transformers calls these parameters otherwise once it has loaded them; the plan knows the files' names alone."""
    import transformers

    if adapted:
        import peft

        write_llava(tmp_path / "model")
        base = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "model")
        model: Any = peft.get_peft_model(base, peft.LoraConfig(target_modules=r".*language_model.*(q_proj|down_proj)"))
    else:
        model = tiny_model(model_type)
    parameters = trainable_tensors(model)
    group = GroupSettings(parameters=(in_file,), learning_rate=1e-5)
    optimizer = make_optimizer(parameters, _train(parameter_groups=(group,), learning_rate=1e-3), model)
    ratios = {id(one): found["rate_ratio"] for found in optimizer.param_groups for one in found["params"]}
    slow = {name for name, one in parameters.items() if ratios[id(one)] == pytest.approx(0.01)}
    part = "layers.1." if adapted else ".mlp."
    assert slow == {name for name in parameters if part in name} != set()
