"""LoRA on experts trains as a plain loop with peft trains it, resumes where it stopped, and shows what it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ftc.runtime.execution.execute import execute
from ftc.runtime.inspection.updates import adapter_changes, first_factors
from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks.scorer import padded
from ftc.runtime.training.seeding import seed_everything
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event, StepDone
from ftc.spec.documents.streams import open_stream
from ftc.spec.schedules import learning_rate_at
from tests.runtime.jobs import Job, make_job

ENDS = ("mlp.experts.down_proj", "mlp.experts.gate_up_proj")
OTHERS = ("mixtral", "olmoe", "gpt_oss")


def job_of(root: Path, kind: str, *, adapter: dict[str, Any] | None = None, **changes: Any) -> Job:
    whole = {
        **{"rank": 4, "alpha": 8, "dropout": 0.0, "targets": ("o_proj",), "num_modules": 2, "trained_modules": ()},
        **{"target_parameters": ENDS, "num_parameters": 4, "ranks": {"down_proj": 2}},
        **(adapter or {}),
    }
    attention: dict[str, Any] = {"model__attention": "eager"} if kind == "gpt_oss" else {}
    steps = {"train__micro_batch": 4, "train__num_steps": 6, "train__max_grad_norm": 1.0} | changes
    router = {"trained": False, "aux_loss": None}
    return make_job(root, kind, "lora", train__router=router, strategy__adapter=whole, **attention, **steps)


def plain_model(job: Job) -> Any:
    """The model as peft's own users make it."""
    import peft
    import transformers

    kernel = {"attn_implementation": job.plan.settings.model.attention}
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(job.inputs.model_folder, **kernel)
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["o_proj"],
        target_parameters=list(ENDS),
        rank_pattern={"down_proj": 2},
        task_type="CAUSAL_LM",
    )
    seed_everything(job.plan.settings.seeds.init)
    return peft.get_peft_model(base, config)


def plain_losses(job: Job) -> list[float]:
    """Losses of the same steps by transformers' own loss, peft's own model and torch's AdamW."""
    settings = job.plan.settings
    train, model = settings.train, plain_model(job)
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.999), weight_decay=0.0)
    rows = open_stream(job.root / "streams-0" / "train.arrow")
    order = BatchOrder(rows.lengths, train.batch_size, train.steps_per_epoch, settings.seeds.order)
    losses = []
    for step in range(train.num_steps):
        numbers = order.rows(step)
        ids, attention = padded([rows.ids(number) for number in numbers], settings.model.pad_id)
        masks, _ = padded([rows.mask(number).astype(np.int32) for number in numbers], 0)
        wanted = torch.from_numpy(np.where(masks == 1, ids, -100))
        model.train()
        output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(attention), labels=wanted)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, train.max_grad_norm or 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, train)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
    return losses


@pytest.mark.filterwarnings("ignore:The following rank_pattern keys")
@pytest.mark.parametrize("kind", ["qwen3_moe", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_losses_are_those_of_a_plain_loop_with_peft(kind: str, tmp_path: Path) -> None:
    job = job_of(tmp_path, kind)
    job.run()
    found = [event.loss for event in job.of_kind("step")]
    torch.testing.assert_close(found, plain_losses(job), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The following rank_pattern keys")
def test_the_model_is_that_of_peft_to_the_bit(tmp_path: Path) -> None:
    job = job_of(tmp_path, "mixtral")
    ours: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    theirs = plain_model(job)
    assert {name: one.shape for name, one in ours.named_parameters() if one.requires_grad} == {
        name: one.shape for name, one in theirs.named_parameters() if one.requires_grad
    }
    ids = torch.randint(4, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    for model in (ours, theirs):
        for name, one in sorted(model.named_parameters()):
            if "lora_B" in name:  # where it is zero nothing is added
                one.data = torch.randn(one.shape, generator=torch.Generator().manual_seed(len(name)))
    assert torch.equal(ours.eval()(input_ids=ids).logits, theirs.eval()(input_ids=ids).logits)


def test_an_interrupted_run_resumes_to_the_bit(tmp_path: Path) -> None:
    job = job_of(tmp_path, "qwen3_moe", train__num_steps=4, train__evaluate_every_steps=1)
    whole = job.run("whole")
    assert whole.status == "finished"

    def stop_after_two(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("broken"), stop_after_two)
    assert job.run("broken").final_weights_sha256 == whole.final_weights_sha256


@pytest.mark.parametrize("continues", [False, True])
def test_an_inspection_shows_how_far_experts_moved(tmp_path: Path, continues: bool) -> None:
    job = job_of(tmp_path, "qwen3_moe")
    model: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))

    def set_adapter(value: float) -> None:
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.data.fill_(value)
            elif "lora_A" in name:
                one.data.add_(value)

    if continues:  # what an earlier run has left
        set_adapter(0.25)
    first = first_factors(model)
    before = merged_experts(model)
    set_adapter(0.5)
    found = {change.name: change for change, _ in adapter_changes(model, first)}
    after = merged_experts(model)
    assert {name for name in found if "experts" in name} == after.keys()
    for name, one in after.items():
        assert found[name].update_norm == pytest.approx(float((one - before[name]).norm()), rel=1e-4)
        assert found[name].parameters == one.numel()


def test_factors_of_an_earlier_run_that_do_not_fit_leave_the_model_as_it_was(tmp_path: Path) -> None:
    job = job_of(tmp_path, "qwen3_moe")
    model: Any = build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    trained = {name: one.detach().clone() for name, one in model.named_parameters()}
    experts = {name for name, layer in model.named_modules() if getattr(layer, "parameter_name", None)}
    assert experts
    with pytest.raises(RuntimeError):
        list(adapter_changes(model, dict.fromkeys(experts, (torch.ones(3, 5), torch.ones(7, 2)))))
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], one) for name, one in trained.items())


def merged_experts(model: Any) -> dict[str, torch.Tensor]:
    """The experts' tensors with the adapter in them, by peft itself."""
    model.merge_adapter()
    found = {name: one.clone() for name, one in plain_weights(model).items()}
    model.unmerge_adapter()
    return found


def plain_weights(model: Any) -> dict[str, torch.Tensor]:
    """The experts' own tensors by their names in the base model."""
    tensors = model.get_base_model().state_dict().items()
    return {name.replace(".base_layer", ""): one for name, one in tensors if ".experts." in name and "lora" not in name}


def test_experts_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path, "qwen3_moe", adapter={"num_parameters": 6})
    with pytest.raises(Refusal) as refused:
        build_model(job.plan.settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    assert [one.code for one in refused.value.diagnostics] == ["FTC625"]
