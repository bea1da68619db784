"""The services' own clients beside ftc's requests: the same bodies, and answers that both understand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_hosted import OPENAI, TOGETHER, here, launched, planned, server, tokenize
from tests.support.hosted_server import KEY, HostedServer
from tests.support.session_packages import package_of

__all__ = ["here", "planned", "server", "tokenize"]

pytestmark = pytest.mark.filterwarnings("ignore")


def created(server: HostedServer) -> list[dict[str, Any]]:
    """Bodies of the requests that asked for a job."""
    return [body for kind, body in server.requests if kind == "create"]


def test_together_gets_what_its_own_client_would_send(here: Path, server: HostedServer) -> None:
    together = package_of("hosted", "together")
    job = launched()
    sent = here / "sent.jsonl"
    sent.write_bytes(server.files[job.train.id or ""])
    assert hashlib.sha256(sent.read_bytes()).hexdigest() == job.train.facts.sha256
    client = together.Together(api_key=KEY, base_url=server.url.removesuffix("/v1"), max_retries=0)
    assert client.files.upload(sent).id == job.train.id, "the same bytes are kept once, and pass its own check"
    client.fine_tuning.create(
        training_file=job.train.id,
        model="tiny/base",
        n_epochs=2,
        packing=False,
        max_seq_length=32,
        batch_size=8,
        gradient_accumulation_steps=1,
        learning_rate=1e-3,
        lr_scheduler_type="linear",
        warmup_ratio=0.1,
        lora=True,
        lora_r=4,
        lora_alpha=8,
        lora_dropout=0.1,
        lora_trainable_modules="down_proj,gate_proj,k_proj,o_proj,q_proj,up_proj,v_proj",
        random_seed=17,
        train_on_inputs=False,
        suffix=job.marker,
    )
    ours, theirs = created(server)
    unsaid = {"validation_file": "", "early_stopping_enabled": False}
    assert {name: value for name, value in theirs.items() if unsaid.get(name) != value} == ours
    seen = client.fine_tuning.retrieve(job.job.id if job.job else "")
    assert (seen.status, seen.training_type.lora_r, seen.n_epochs) == ("completed", 4, 2)
    shown = client.fine_tuning.preview(model="tiny/base", training_file=job.train.id, top_k=8, train_on_inputs=False)
    assert [row.input_ids for row in shown.rows] == [
        server.tokenize(row)[0] for row in server.rows(job.train.id or "")[:8]
    ]
    previews = [body for kind, body in server.requests if kind == "preview"]
    assert previews[0] == {**previews[1], "training_method": "sft"}
    estimates = [body for kind, body in server.requests if kind == "estimate"]
    unsaid = {"validation_file": ""}
    assert {name: value for name, value in estimates[1].items() if unsaid.get(name) != value} == estimates[0]


def test_openai_gets_what_its_own_client_would_send(here: Path, server: HostedServer) -> None:
    openai = package_of("hosted", "openai")
    job = launched(OPENAI)
    client = openai.OpenAI(api_key=KEY, base_url=server.url, max_retries=0)
    sent = here / "sent.jsonl"
    sent.write_bytes(server.files[job.train.id or ""])
    with sent.open("rb") as rows:
        assert client.files.create(file=rows, purpose="fine-tune").bytes == job.train.facts.size
    uploads = [body for kind, body in server.requests if kind == "upload"]
    assert uploads[0] == uploads[1], "the same form with the same file"
    ours = created(server)[0]
    client.fine_tuning.jobs.create(
        model="tiny/base",
        training_file=job.train.id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 8}}},
        seed=17,
        suffix=job.marker,
        metadata=ours["metadata"],
    )
    assert created(server)[1] == ours
    seen = client.fine_tuning.jobs.retrieve(job.job.id if job.job else "")
    assert (seen.status, seen.metadata["ftc_job"]) == ("succeeded", job.marker)
    assert [one.id for one in client.fine_tuning.jobs.list()] == ["ftjob-2", "ftjob-1"]


def test_a_client_that_asks_again_by_itself_makes_two_jobs(here: Path, server: HostedServer) -> None:
    """Why ftc speaks the protocol itself: by the clients' defaults one call can be two paid jobs."""
    openai = package_of("hosted", "openai")
    server.faults["create"] = ["late"]
    client = openai.OpenAI(api_key=KEY, base_url=server.url)
    client.fine_tuning.jobs.create(
        model="tiny/base", training_file="file-1", method={"type": "supervised", "supervised": {"hyperparameters": {}}}
    )
    assert len(server.jobs) == 2
    server.jobs.clear()
    server.faults["create"] = ["late"]
    assert launched(TOGETHER).fetched
    assert len(server.jobs) == 1
