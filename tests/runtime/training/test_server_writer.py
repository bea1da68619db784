"""Answers of a server: what is trained on them, what becomes of faults, and what is on record."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training import server_writer
from ftc.runtime.training.answer_rows import fed_digests
from ftc.runtime.training.findings import training_findings
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.sampling import SampledRows
from ftc.runtime.training.server_writer import SERVERS, RecordedAnswers, ServerWriter
from ftc.runtime.training.signals import StopRequest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.launch import WriterSettings
from ftc.spec.documents.sampled import SampledAnswer
from ftc.spec.writers import WRITERS
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job
from tests.support.answer_server import Model, served
from tests.support.streams import write_columns

_GROUP, _PROMPTS, _LONGEST, _HEAT, _CAP = 4, 2, 5, 0.7, 1.01
_KINDS = [("vllm", "lora"), ("sglang", "lora"), ("sglang", "full")]


class _Loop(NamedTuple):
    job: Job
    model: Any
    server: Model
    folder: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunJob]:
    """Jobs whose model and plan all tests share, by strategy."""
    root = tmp_path_factory.mktemp("job")
    return {kind: make_job(root / kind, "llama", kind) for kind in ("full", "lora")}


@pytest.fixture
def loop(made: dict[str, RunJob], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[_Loop]:
    """A run's loop whose answers a server writes; its kind and the strategy are the parameter."""
    kind, strategy = getattr(request, "param", _KINDS[0])
    job, ids = made[strategy], [[1, 5, 9], [1, 7, 12, 30], [1, 8], [1, 40, 41]]
    server, model = served(str(job.inputs.model_folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rewards = (
        {"kind": "regex", "pattern": r"\b(4|7|11|13|17|21)\b", "weight": 1.0},
        {"kind": "length", "max_characters": 12, "weight": 0.25},
    )
    sampling = {"rewards": rewards, "loss": "dr_grpo", "group_size": _GROUP, "max_new_tokens": _LONGEST}
    sampling |= {"temperature": _HEAT, "top_k": 0, "beta": 0.0, "writer": kind, "importance_cap": _CAP}
    asked = {"text.form": "sample", "train.sampling": sampling, "seeds.sampling": 11, "train.num_steps": 3}
    asked |= {"train.steps_per_epoch": 2, "train.batch_size": _GROUP * _PROMPTS, "train.micro_batch": 3}
    if strategy == "lora":
        asked["strategy.adapter.dropout"] = 0.0
    settings = changed(job.plan, asked).settings
    trained = build_model(settings, FolderBase(job.inputs.model_folder), torch.device("cpu"))
    scorer: Any = make_scorer(trained, settings)
    from accelerate import Accelerator

    rows = write_columns(tmp_path / "rows.arrow", ids, [[0] * len(one) for one in ids], prompts=[len(i) for i in ids])
    accelerator, parameters = Accelerator(cpu=True), trainable_tensors(trained)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    site, folder = WriterSettings(url=url, timeout_seconds=20.0), tmp_path / "run" / "handed-over"
    writer = ServerWriter(trained, rows, settings, StopRequest(), site, folder)
    source = SampledRows(trained, scorer, rows, settings, _decode, StopRequest(), accelerator, writer)
    optimizer = make_optimizer(parameters, settings.train, trained)
    made_of = Job(settings.train, settings.seeds, trained, parameters, scorer, optimizer, source, accelerator)
    yield _Loop(made_of, trained, model, folder)
    server.shutdown()
    server.server_close()


def _decode(ids: list[int]) -> str:
    return " ".join(map(str, ids))


def test_every_server_has_its_protocol() -> None:
    assert SERVERS.keys() == {card.kind for card in WRITERS if card.is_server}


@pytest.mark.parametrize("loop", _KINDS, indirect=True)
def test_steps_are_the_formula_on_the_weights_that_were_handed_over(loop: _Loop) -> None:
    loop.server.raw = True  # probabilities before the temperature, so that importance is far from 1
    loop.model.train()
    before = copy.deepcopy(loop.model)
    for done in training_steps(loop.job, 0):
        answers: tuple[Any, ...] = loop.job.source.answers
        terms = []
        for one in answers:
            prompt, _ = {0: ([1, 5, 9], 0), 1: ([1, 7, 12, 30], 0), 2: ([1, 8], 0), 3: ([1, 40, 41], 0)}[one.prompt]
            with torch.no_grad():
                logits = before(input_ids=torch.tensor([[*prompt, *one.ids]])).logits[0, len(prompt) - 1 : -1]
            own = (logits / _HEAT).log_softmax(-1)[range(len(one.ids)), list(one.ids)]
            raw = logits.log_softmax(-1)[range(len(one.ids)), list(one.ids)]
            assert torch.allclose(raw, torch.tensor(one.log_probs), atol=1e-4), "the server had these weights"
            assert torch.allclose(own, torch.tensor(one.own_log_probs), atol=1e-4)
            terms.append(-one.advantage * (own - raw).exp().clamp(max=_CAP).sum() / (_LONGEST * len(answers)))
        assert done.loss == pytest.approx(float(sum(terms)), abs=1e-5)
        assert done.sampled is not None
        assert done.sampled.log_prob_gap is not None
        assert done.sampled.log_prob_gap > 0
        assert 0 < (done.sampled.capped or 0) < 1
        before.load_state_dict(loop.model.state_dict())
    assert not loop.folder.exists()
    assert len(loop.server.folders) <= 1, "the weights before are forgotten"


@pytest.mark.parametrize(
    ("loop", "fault", "count"),
    [(_KINDS[0], "busy", 2), (_KINDS[0], "forget", 1), (_KINDS[1], "forget", 1)],
    indirect=["loop"],
)
def test_faults_that_pass_cost_nothing(
    loop: _Loop, fault: str, count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_writer, "_PAUSE_SECONDS", 0.01)
    loop.server.faults[fault] = count
    if fault == "forget":  # at the first answer, behind the adapter's arrival
        loop.server.faults = {}
        bring = loop.job.source._writer._server.bring  # type: ignore[attr-defined]

        def once(name: str, folder: str) -> None:
            bring(name, folder)
            loop.server.faults.setdefault("forget", 1)

        monkeypatch.setattr(loop.job.source._writer._server, "bring", once)  # type: ignore[attr-defined]
    fed = loop.job.source.at(0)
    assert len(loop.job.source.answers) == _GROUP * _PROMPTS
    assert len(fed.rows) == _GROUP * _PROMPTS
    assert not any(loop.server.faults.values())
    # What is on record is trained on once more, and a step that isn't is told of.
    kept = tmp_path / "answers.ndjson"
    kept.write_text("".join(one.model_dump_json() + "\n" for one in loop.job.source.answers))
    source: Any = loop.job.source
    digests = fed_digests(source._settings, source._prompts, source.answers)
    first = source.answers
    source._writer = RecordedAnswers(kept)
    source.at(0)
    assert source.answers == first
    assert fed_digests(source._settings, source._prompts, source.answers) == digests
    with pytest.raises(Refusal, match="FTC467") as refused:
        source.at(1)
    assert "step 2" in refused.value.diagnostics[0].summary


@pytest.mark.parametrize(
    ("fault", "count", "words"),
    [
        ("busy", 1000, "status 503"),
        ("locked", 1, "status 404"),
    ],
)
def test_faults_that_last_end_the_run_and_it_goes_on_afterwards(
    loop: _Loop, fault: str, count: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_writer, "_PAUSE_SECONDS", 0.01)
    loop.server.faults[fault] = count
    with pytest.raises(Refusal, match="FTC466") as refused:
        loop.job.source.at(0)
    found = refused.value.diagnostics[0]
    assert words in found.summary
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve" in str(found.help)
    assert not loop.folder.exists()
    assert len(loop.server.seen) <= 30, "retries are bounded"
    loop.server.faults.clear()
    loop.job.source.at(0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("other name", "weights `base`"), ("cut", "ends after 1 of 5"), ("no probabilities", "0 log-probabilities")],
)
def test_an_answer_that_lacks_something_is_not_trained_on(loop: _Loop, fault: str, words: str) -> None:
    loop.server.faults[fault] = 1000
    with pytest.raises(Refusal, match="FTC467") as refused:
        loop.job.source.at(0)
    assert words in refused.value.diagnostics[0].summary


def test_other_probabilities_are_told_of(loop: _Loop) -> None:
    steps = []
    loop.server.raw = True
    for done in training_steps(loop.job, 0):
        assert done.sampled is not None
        steps.append(done.model_copy(update={"sampled": done.sampled.model_copy(update={"log_prob_gap": 0.4})}))
    said = training_findings(loop.job.train, steps, (), stopped_early=False)
    assert "FTC468" in {one.code for one in said}


def test_importance_is_cut_at_the_cap() -> None:
    answer = SampledAnswer(
        step=1,
        prompt=0,
        place="rows.jsonl:1",
        answer=0,
        ids=(3, 4, 5),
        ended=False,
        rewards=(1.0,),
        reward=1.0,
        advantage=1.0,
        log_probs=(-1.0, -2.0, -900.0),
        own_log_probs=(-1.5, -1.0, -1.0),
    )
    assert answer.ratios(2.0) == pytest.approx([math.exp(-0.5), 2.0, 2.0])
