"""Mixtures of experts train as a plain loop with transformers trains them, the loss of their routers included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks.scorer import padded
from ftc.runtime.training.router_loss import RouterLoss, routers_of
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.streams import open_stream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job, make_job
from tests.support.families import EXPERTS

CPU = torch.device("cpu")
STEPS = 6
OTHERS = [one.model_type for one in EXPERTS if one.model_type not in ("qwen3_moe", "mixtral", "olmoe")]


def plain_losses(job: Job) -> list[float]:
    """Losses of the same steps by transformers' own loss, its load balancing loss included, and torch's AdamW."""
    import transformers

    settings, folder = job.plan.settings, job.inputs.model_folder
    train, router = settings.train, settings.train.router
    assert router is not None
    ours: Any = build_model(settings, FolderBase(folder), CPU)
    if settings.strategy.kind == "full":
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
        wanted = trainable_tensors(ours)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in wanted)
    else:
        model = ours  # the adapter's weights are drawn; what is computed is transformers' and peft's
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner.config.output_router_logits = router.aux_loss is not None
    inner.router_aux_loss_coef = router.aux_loss
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.999), weight_decay=0.0)
    rows = open_stream(job.root / "streams-0" / "train.arrow")
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, settings.seeds.order)
    losses = []
    for step in range(train.num_steps):
        numbers = order.rows(step)
        ids, attention = padded([rows.ids(number) for number in numbers], settings.model.pad_id)
        masks, _ = padded([rows.mask(number).astype(np.int32) for number in numbers], 0)
        wanted_ids = torch.from_numpy(np.where(masks == 1, ids, -100))
        model.train()
        output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(attention), labels=wanted_ids)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, train.max_grad_norm or 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
    return losses


@pytest.mark.parametrize(
    ("kind", "strategy", "router"),
    [
        ("qwen3_moe", "full", {"trained": True, "aux_loss": 0.5}),
        ("qwen3_moe", "lora", {"trained": False, "aux_loss": 0.5}),
        ("mixtral", "full", {"trained": False, "aux_loss": None}),
        ("mixtral", "lora", {"trained": False, "aux_loss": None}),
        ("olmoe", "full", {"trained": False, "aux_loss": 0.5}),
        *(pytest.param(kind, "full", {"trained": False, "aux_loss": None}, marks=pytest.mark.slow) for kind in OTHERS),
    ],
)
def test_losses_are_those_of_a_plain_loop(kind: str, strategy: str, router: dict[str, Any], tmp_path: Path) -> None:
    adapter: dict[str, Any] = {"strategy__adapter__dropout": 0.0} if strategy == "lora" else {}
    if kind == "gpt_oss":  # its attention has sinks, for which no other kernel is
        adapter["model__attention"] = "eager"
    job = make_job(
        tmp_path,
        kind,
        strategy,
        train__router=router,
        train__micro_batch=4,
        train__num_steps=STEPS,
        train__max_grad_norm=1.0,
        **adapter,
    )
    job.run()
    found = [event.loss for event in job.of_kind("step")]
    torch.testing.assert_close(found, plain_losses(job), rtol=1e-4, atol=1e-5)


def test_the_loss_of_routers_is_that_of_transformers_over_tokens_without_padding(tmp_path: Path) -> None:
    from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

    job = make_job(tmp_path, "qwen3_moe", "lora", train__router={"trained": False, "aux_loss": 0.1})
    model: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), CPU)
    loss = RouterLoss(model, 0.1)
    attention = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    logits: list[torch.Tensor] = []
    for router, place in routers_of(model):
        router.register_forward_hook(lambda _router, _inputs, output, place=place: logits.append(output[place]))

    class Rows:
        """What of a batch the loss reads."""

        def __init__(self) -> None:
            self.attention = attention

    with loss.watching():
        model(input_ids=torch.randint(4, 60, (2, 5)))
        found = loss.loss(Rows())  # type: ignore[arg-type]
    seen: Any = tuple(logits)
    theirs = load_balancing_loss_func(seen, 4, 2, attention)
    torch.testing.assert_close(found, 0.1 * theirs)
    assert len(logits) == 2, "one router a layer"


def test_a_class_that_does_not_show_its_routers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, "granitemoe", "lora", train__router={"trained": False, "aux_loss": 0.1})
    model: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), CPU)
    monkeypatch.setattr(type(model.get_base_model()), "_can_record_outputs", {})  # as transformers 5.3 has it
    with pytest.raises(Refusal) as refused:
        RouterLoss(model, 0.1)
    assert [one.code for one in refused.value.diagnostics] == ["FTC267"]


def test_routers_stay_as_they_are_unless_asked_for(tmp_path: Path) -> None:
    for trained in (False, True):
        job = make_job(tmp_path, "mixtral", "full", train__router={"trained": trained, "aux_loss": None})
        model = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), CPU)
        routers = [one for router, _ in routers_of(model) for one in router.parameters()]
        assert [one.requires_grad for one in routers] == [trained] * 2
