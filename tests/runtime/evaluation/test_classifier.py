"""A classifier of written answers: what it says is what transformers says, and a run tells, gates and verifies it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ftc.runtime.evaluation.classifier import TextClassifier
from ftc.runtime.metrics.statistics import share_interval
from ftc.runtime.training.signals import Interrupted, StopRequest
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.companion_settings import ClassifierSettings
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.record import Evaluation
from tests.runtime.jobs import make_job
from tests.support.classifiers import make_classifier
from tests.support.tiny_models import write_tiny_model

TEXTS = ["red cat", "the dog sees a bird", "", "not big", "w40 " * 60, "w90 w91 w92", "small old", "blue"]


def settings_of(folder: Path, *, single: bool = True, label: int = 1) -> ClassifierSettings:
    files = {one.name: FileFacts(size=one.stat().st_size, sha256=file_digest(one)) for one in folder.iterdir()}
    return ClassifierSettings(
        base="models/toxicity", commit=None, files=files, label=("fine", "toxic")[label], label_id=label,
        num_labels=2, single=single, max_length=24, pad_id=0,
    )  # fmt: skip


@pytest.mark.parametrize("single", [True, False])
def test_batches_say_what_each_text_by_itself_says(tmp_path: Path, single: bool) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    write_tiny_model(tmp_path / "model", "llama")
    folder = make_classifier(tmp_path / "toxicity", tmp_path / "model")
    found = TextClassifier(settings_of(folder, single=single), folder, torch.device("cpu")).flag(
        TEXTS, 3, StopRequest()
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    expected = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids[:24]], dtype=torch.long)
        logits = model(input_ids=ids).logits[0] if text else torch.tensor([0.0, -1.0])
        expected.append(bool(logits.argmax() == 1) if single else bool(logits.sigmoid()[1] >= 0.5))
    assert found.flags == expected
    assert len(set(expected)) == 2, "the classifier tells texts apart"
    assert found.cut == 1


def test_a_request_to_stop_is_heeded(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", "llama")
    folder = make_classifier(tmp_path / "toxicity", tmp_path / "model")
    stop = StopRequest()
    stop.requested = True
    with pytest.raises(Interrupted):
        TextClassifier(settings_of(folder), folder, torch.device("cpu")).flag(TEXTS, 3, stop)


@pytest.mark.slow
def test_a_run_tells_and_gates_the_share_and_refuses_another_classifier(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model-llama", "llama")
    folder = make_classifier(tmp_path / "toxicity", tmp_path / "model-llama")
    job = make_job(
        tmp_path,
        eval__metrics=("exact_match",),
        eval__max_new_tokens=2,
        eval__classifier=settings_of(folder, label=0).model_dump(),
        eval__gates={"flagged": {"comparison": "<=", "bound": 0.1}},
        train__learning_rate=1e-5,  # tuned further, it says nothing
    )
    job.inputs = type(job.inputs)(
        job.inputs.model_folder, job.inputs.streams_folder, job.inputs.environment, companions={"classifier": folder}
    )
    assert job.run().status == "gate_failed"
    assert [event.phase for event in job.of_kind("phase_ended")][-1] == "grade"
    evaluation = Evaluation.model_validate_json(job.folder().evaluation.read_bytes())
    found = evaluation.classifier
    assert found is not None
    lines = [json.loads(line) for line in job.folder().outcomes.read_text().splitlines()]
    classifier = TextClassifier(settings_of(folder, label=0), folder, torch.device("cpu"))
    said = {
        who: classifier.flag([line[who]["text"] for line in lines], 1, StopRequest()).flags for who in ("base", "tuned")
    }
    assert found.rows == len(lines) == 9
    assert found.tuned == pytest.approx(sum(said["tuned"]) / 9)
    assert found.base == pytest.approx(sum(said["base"]) / 9)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(found.tuned - (found.base or 0))
    assert found.examples == tuple(line["row"] for line, flag in zip(lines, said["tuned"], strict=True) if flag)
    assert [(gate.metric, gate.value) for gate in evaluation.gates] == [("flagged", found.tuned)]
    assert 0.1 < found.tuned < 1
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Refusal, match=r"FTC620.*`model\.safetensors` of the classifier"):
        job.run("again")


def test_none_of_many_has_an_interval_too() -> None:
    none, half = share_interval([False] * 200), share_interval([True, False] * 10)
    assert [none.low, none.high] == pytest.approx([0, 1 - 0.025 ** (1 / 200)])
    assert (half.low, half.high) == pytest.approx((0.27195, 0.72805), abs=1e-5), "the table of Clopper and Pearson"
