"""Processes that share each row under torchrun do the work of one that has it whole."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ftc.runtime.models.context_parallel import ContextGroup
from ftc.runtime.tasks.language import LanguageScorer
from ftc.runtime.tasks.scorer import Batch
from ftc.runtime.training.context import prove_sharing
from ftc.spec.context_parallel import chunk_tokens, tokens_of_a_process
from ftc.spec.diagnostics import Refusal
from tests.runtime.agreement import agree, job_of, steps_of
from tests.runtime.children import together
from tests.runtime.jobs import make_job
from tests.support.tiny_models import write_tiny_model

_ALONE: dict[str, Any] = {"train__batch_size": 4, "train__micro_batch": 2}
_STILL: dict[str, Any] = {"strategy__adapter__dropout": 0.0}
_SHARED = {**_ALONE, "train__world_size": 2, "device__count": 2, "train__context_parallel": 2}
_DDP, _FSDP = {**_SHARED, "train__sharding": "ddp"}, {**_SHARED, "train__sharding": "fsdp"}
_HSDP = {**_SHARED, "train__world_size": 4, "train__nodes": 2, "train__sharding": "hsdp"}
_PACKED: dict[str, Any] = {"train__packing": True, "train__micro_batch_tokens": 33}


@pytest.mark.slow
def test_two_processes_that_share_rows_equal_one(tmp_path: Path) -> None:
    """Of rows of 4 to 17 tokens, whose last chunk is shorter than the others or empty."""
    lora = make_job(tmp_path, **_ALONE, **_STILL)
    lora.run("one")
    together(
        tmp_path,
        [
            job_of("padded", "llama", "lora", {**_DDP, **_STILL}),
            job_of("stopped", "llama", "lora", {**_DDP, **_STILL}, stop_at=8),
            job_of("packed", "llama", "lora", {**_DDP, **_STILL, **_PACKED}),
            job_of("divided", "llama", "lora", {**_FSDP, **_STILL, "train__loss_chunk_size": 2}),
            job_of(
                "recomputed", "llama", "lora", {**_FSDP, **_STILL, **_PACKED, "train__activation_checkpointing": True}
            ),
        ],
    )
    for name in ("padded", "stopped", "packed", "divided", "recomputed"):
        agree(lora, name)
    whole, stopped = (json.loads(lora.folder(which).record.read_text()) for which in ("padded", "stopped"))
    assert stopped["final_weights_sha256"] == whole["final_weights_sha256"], "a resumed run gives the same bits"


@pytest.mark.slow
def test_groups_that_share_rows_have_rows_of_their_own(tmp_path: Path) -> None:
    """Four processes in two groups, all weights of another kind of model; three rows a step, so that one stands in."""
    rows = {"train__learning_rate": 1e-3, "train__batch_size": 3, "train__micro_batch": 1}
    full = make_job(tmp_path, "qwen2", "full", **_ALONE | rows)
    full.run("one")
    four = {"train__world_size": 4, "device__count": 4, **rows}
    ways = {"ddp": {**_DDP, **four}, "fsdp": {**_FSDP, **four}}
    together(tmp_path, [job_of(name, "qwen2", "full", way) for name, way in ways.items()], processes=4)
    for name in ways:
        agree(full, name)


@pytest.mark.slow
def test_machines_with_copies_share_rows_inside_each(tmp_path: Path) -> None:
    """Two agents of two processes: with 8 rows a step has two micro-batches, behind which machines meet once."""
    rows = {"train__batch_size": 8, "train__steps_per_epoch": 3, "train__num_steps": 6}
    full = make_job(tmp_path, "llama", "full", **_ALONE | rows)
    full.run("one")
    shared = {**_HSDP, **rows}
    jobs = [job_of(name, "llama", "full", shared, stop_at) for name, stop_at in (("hsdp", None), ("stopped", 4))]
    together(tmp_path, jobs, processes=2, machines=2)
    agree(full, "hsdp")
    losses = [[float(step["loss"]) for step in steps_of(full, which)] for which in ("hsdp", "one")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    whole, stopped = (json.loads(full.folder(which).record.read_text()) for which in ("hsdp", "stopped"))
    assert (whole["observed"]["wrapper"], whole["observed"]["world_size"]) == ("FSDP2", 4)
    assert stopped["final_weights_sha256"] == whole["final_weights_sha256"], "a resumed run gives the same bits"


class _Deaf:
    """An exchange in which the others have nothing but zeros."""

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        return torch.stack([part, torch.zeros_like(part)])

    def scatter_sum(self, parts: torch.Tensor) -> torch.Tensor:
        return parts[0]


def _group(rank: int, size: int = 2) -> ContextGroup:
    return ContextGroup(rank, size, _Deaf(), torch.float32, None)


@pytest.mark.parametrize("length", [1, 2, 7, 16, 129, 1000])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_every_token_and_every_target_is_of_one_process(length: int, size: int) -> None:
    places = torch.arange(3 * length)
    batch = Batch(
        ids=1 + places.reshape(3, length),
        attention=torch.ones(3, length, dtype=torch.int64),
        positions=places[::2],
        targets=100_000 + places[::2],
        owners=places[::2] // length,
    )
    cuts = [_group(rank, size).cut(batch) for rank in range(size)]
    found = torch.cat([cut.batch.ids.flatten() for cut in cuts])
    assert sorted(found[found > 0].tolist()) == batch.ids.flatten().tolist()
    assert torch.cat([cut.batch.targets for cut in cuts]).sort().values.tolist() == batch.targets.tolist()
    for cut in cuts:
        part = cut.batch
        assert part.ids.shape[1] == 2 * cut.chunk == tokens_of_a_process(length, size)
        assert part.places is not None
        assert int(part.places.max()) < length, "a table of positions has no more than the rows need"
        here = part.ids.flatten()[part.positions]
        assert (here + 99_999 == part.targets).all(), "what is scored stands where the target says"
        assert (part.owners == part.positions // part.ids.shape[1]).all()
        row = (part.ids - 1) % length == part.places
        assert row[part.ids > 0].all(), "each token knows its place in the whole row"


def test_long_chunks_fit_the_kernels() -> None:
    assert chunk_tokens(1000, 2) == 256
    assert tokens_of_a_process(1000, 1) == 1000


@pytest.mark.parametrize("rank", [0, 1])
def test_a_model_that_does_not_see_other_processes_is_refused(rank: int, tmp_path: Path) -> None:
    """Each run asks before its first step, since it rests on the model's own code."""
    from transformers import AutoModelForCausalLM

    job = make_job(tmp_path)
    write_tiny_model(tmp_path / "model", "llama")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model", attn_implementation="sdpa")
    asked: Any = SimpleNamespace(
        context=_group(rank),
        model=model,
        scorer=LanguageScorer(model, job.plan.settings.model, lambda _: torch.no_grad()),
        source=SimpleNamespace(at=lambda _: SimpleNamespace(rows=_rows(tmp_path))),
        accelerator=SimpleNamespace(num_processes=1, device=torch.device("cpu")),
        train=job.plan.settings.train,
    )
    with pytest.raises(Refusal) as refused:
        prove_sharing(asked)
    assert [(one.code, one.path) for one in refused.value.diagnostics] == [("FTC717", "train.context_parallel")]
    assert model.config._attn_implementation == "sdpa", "evaluations read whole rows as ever"


def _rows(root: Path) -> Any:
    from ftc.spec.documents.streams import open_stream

    return open_stream(root / "streams-0" / "train.arrow")


def test_without_shared_rows_no_step_is_made_for_the_proof() -> None:
    """A step of reinforcement would have to be written first, and its answers paid for."""
    job: Any = SimpleNamespace(context=None)  # and no source that could be asked
    prove_sharing(job)
