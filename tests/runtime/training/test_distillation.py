"""Learning from a teacher: the loss is that of plain torch and transformers, and a run with one is as exact as any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional

from ftc.runtime.artifacts.fingerprints import BatchDigest
from ftc.runtime.execution.execute import execute
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training import distillation
from ftc.runtime.training.distillation import build_teacher, divergence, make_teacher
from ftc.runtime.training.loop import Job as LoopJob
from ftc.runtime.training.loop import _accumulate_gradients, _loss
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.divergences import DIVERGENCES
from ftc.spec.documents.events import Event, StepDone
from ftc.spec.documents.loss_settings import DistillationSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from tests.runtime.jobs import LABELS, Job, changed, make_job
from tests.support.lessons import lesson
from tests.support.streams import write_columns
from tests.support.tiny_models import write_tiny_model

CPU = torch.device("cpu")
BETAS = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Forward KL, mixtures, and reverse KL."""
IDS = [[1, 5, 6, 7, 8, 9, 2], [1, 9, 8, 7, 2], [1, 5, 5, 5, 5, 2]]


def plain_divergence(scores: torch.Tensor, wanted: torch.Tensor, beta: float) -> torch.Tensor:
    """The same by torch's own functions and its own gradients, as the paper of GKD has it."""
    q, p = scores.log_softmax(-1), wanted.log_softmax(-1)

    def apart(to: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        return functional.kl_div(to, of, reduction="none", log_target=True).sum(-1)

    if beta == 0:
        return apart(q, p)
    if beta == 1:
        return apart(p, q)
    m = (beta * p.exp() + (1 - beta) * q.exp()).log()
    return beta * apart(m, p) + (1 - beta) * apart(m, q)


@pytest.mark.parametrize("beta", BETAS)
def test_divergences_and_their_gradients(beta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "_AT_ONCE", 14)  # two rows at once
    torch.manual_seed(0)
    ours = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    theirs, wanted = ours.detach().clone().requires_grad_(), 3 * torch.randn(5, 7, dtype=torch.float64)
    weights = torch.rand(5, dtype=torch.float64)
    found = divergence(ours, (wanted / 3).log_softmax(-1), beta, 3.0)
    expected = plain_divergence(theirs / 3, wanted / 3, beta)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    (found * weights).sum().backward(), (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)


def test_every_divergence_of_tokens_is_a_mixture_of_its_card(tmp_path: Path) -> None:
    known = {card.kind: card.beta for card in DIVERGENCES if not card.by_rank}
    assert known == {"forward_kl": 0.0, "reverse_kl": 1.0, "jsd": 0.5, "generalized_jsd": None}
    write_tiny_model(tmp_path, "gpt2")
    for kind, beta in known.items():
        own: dict[str, Any] = {"beta": 0.3} if beta is None else {}
        asked = lesson(tmp_path, loss=kind, **own)
        assert DistillationSettings.model_validate(asked).mixture == (0.3 if beta is None else beta)


@pytest.mark.parametrize("beta", BETAS)
def test_what_can_never_be_chosen_costs_nothing(beta: float) -> None:
    scores = torch.tensor([[1.0, 2.0, -1e30]], requires_grad=True)
    wanted = torch.tensor([[0.5, 0.1, -1e30]]).log_softmax(-1)
    found = divergence(scores, wanted, beta)
    torch.testing.assert_close(found, divergence(scores[:, :2], wanted[:, :2], beta))
    found.sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def columns(file: Path, head: str) -> TokenStream:
    """Three rows for a head."""
    masks = [[0, 0, *[1] * (len(ids) - 2)] for ids in IDS]
    prompts = [2, 2, 2]
    match head:
        case "token_classification":
            return write_columns(file, IDS, masks, targets=[[0, 2, 1, 0, 2], [1, 0, 1], [2, 2, 0, 1]])
        case "multi_label":
            lengths = [len(ids) for ids in IDS]
            return write_columns(file, IDS, masks, prompts=lengths, targets=[[0, 2], [], [1]])
        case "classification":
            return write_columns(file, IDS, masks, prompts=[len(ids) for ids in IDS], labels=[0, 2, 1])
        case "span":
            offsets = [[-1, -1] * 2 + [n for i in range(len(ids) - 3) for n in (i, i + 1)] + [-1, -1] for ids in IDS]
            return write_columns(file, IDS, masks, prompts=prompts, targets=[[3, 4], [0, 0], [2, 4]], offsets=offsets)
    return write_columns(file, IDS, masks, prompts=prompts)


CASES = {
    "lm": ("llama", "gpt2", transformers.AutoModelForCausalLM),
    "seq2seq": ("t5", "t5", transformers.AutoModelForSeq2SeqLM),
    "classification": ("bert", "bert", transformers.AutoModelForSequenceClassification),
    "multi_label": ("bert", "bert", transformers.AutoModelForSequenceClassification),
    "token_classification": ("bert", "llama", transformers.AutoModelForTokenClassification),
    "span": ("bert", "bert", transformers.AutoModelForQuestionAnswering),
}
ORDER = (2, 0, 1)
"""Places of the run's labels among the teacher's outputs."""


def with_teacher(root: Path, case: str, **changes: Any) -> tuple[Settings, TokenStream, Any, Path]:
    """Settings, rows, the model and the teacher's folder."""
    kind, teacher_kind, auto = CASES[case]
    head = "lm" if case == "seq2seq" else case
    write_tiny_model(root / "plain", teacher_kind, seed=8)
    torch.manual_seed(1)
    named: dict[str, Any] = {"num_labels": 3} if "label" in case or case.endswith("classification") else {}
    auto.from_pretrained(root / "plain", **named).save_pretrained(root / "teacher")
    labels = {"text.labels": LABELS} if named else {"text.labels": ()}
    family = {"bert": "encoder", "t5": "encoder_decoder"}
    outputs = {"outputs": ORDER} if named else {}
    job = make_job(root, kind if case != "seq2seq" else "t5", "full", classes=0 if head == "lm" else 3)
    settings = changed(
        job.plan,
        {
            "model.head": head,
            "model.family": family.get(kind, "decoder"),
            "model.decoder_start_id": 0 if case == "seq2seq" else None,
            "eval.max_answer_tokens": 2,
            "train.distillation": lesson(root / "teacher", family.get(teacher_kind, "decoder"), teacher=outputs),
            **labels,
            **{path.replace("__", "."): value for path, value in changes.items()},
        },
    ).settings
    model = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    return settings, columns(root / "rows.arrow", head), model, root / "teacher"


def plain_scores(model: Any, case: str, rows: TokenStream, number: int) -> Any:
    """(N, C) the scores of a row's targets by the model's own forward pass, on that row alone."""
    ids = torch.from_numpy(rows.ids(number).astype("int64"))[None]
    types = torch.tensor([[0, 0, *[1] * (ids.shape[1] - 2)]])
    mask = torch.from_numpy(rows.mask(number).copy())
    match case:
        case "lm":
            return model(input_ids=ids).logits[0, :-1][mask[1:]]
        case "seq2seq":
            answer = ids[:, 2:]
            read = torch.cat((torch.zeros(1, 1, dtype=torch.long), answer[:, :-1]), dim=1)
            return model(input_ids=ids[:, :2], decoder_input_ids=read).logits[0]
        case "token_classification":
            return model(input_ids=ids).logits[0][mask]
        case "span":
            output = model(input_ids=ids, token_type_ids=types)
            return torch.cat((output.start_logits, output.end_logits))
    return model(input_ids=ids).logits


def plain_losses(case: str, rows: TokenStream, number: int, scores: torch.Tensor) -> torch.Tensor:
    """(N,) what the row's targets cost by torch's own functions."""
    mask = torch.from_numpy(rows.mask(number).copy())
    ids = torch.from_numpy(rows.ids(number).astype("int64"))
    match case:
        case "lm" | "seq2seq":
            return functional.cross_entropy(scores, ids[mask], reduction="none")
        case "multi_label":
            wanted = torch.zeros(1, 3)
            wanted[0, torch.from_numpy(rows.targets[number].astype("int64"))] = 1.0
            return functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none").mean(dim=-1)
        case "classification":
            return functional.cross_entropy(scores, torch.tensor([int(rows.labels[number])]), reduction="none")
    targets = torch.from_numpy(rows.targets[number].astype("int64"))
    return functional.cross_entropy(scores, targets, reduction="none")


@pytest.mark.sample(3)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_that_of_plain_torch(tmp_path: Path, case: str) -> None:
    settings, rows, model, folder = with_teacher(tmp_path, case)
    plain: Any = CASES[case][2].from_pretrained(folder).eval()
    teacher = make_teacher(settings, build_teacher(settings, FolderBase(folder), CPU))
    temperature, weight = 2.0, 0.5
    expected = torch.zeros(())
    for number in range(3):
        scores = plain_scores(model, case, rows, number)
        with torch.no_grad():
            wanted = plain_scores(plain, case, rows, number)
        if teacher.settings.teacher.outputs:
            wanted = wanted[:, list(ORDER)]
        losses = plain_losses(case, rows, number, scores)
        if case == "multi_label":  # two Bernoulli variables a class
            ours, theirs = (torch.stack((one, -one), dim=-1) / 2 / temperature for one in (scores, wanted))
            apart = plain_divergence(ours, theirs, 0.0).mean(dim=-1)
        else:
            apart = plain_divergence(scores / temperature, wanted / temperature, 0.0)
        expected = expected + ((1 - weight) * losses + weight * temperature**2 * apart).sum()
    expected.backward()
    gradients = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()

    job = loop_job(settings, model, rows, teacher)
    found = _loss(job, job.scorer.batch(rows, [0, 1, 2]), 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    found.backward()
    for name, one in trainable_tensors(model).items():
        if one.grad is not None:
            torch.testing.assert_close(one.grad, gradients[name], rtol=1e-4, atol=1e-6, msg=name)
    assert not trainable_tensors(teacher.model)
    assert not any(module.training for module in teacher.model.modules())


def loop_job(settings: Settings, model: Any, rows: TokenStream, teacher: Any, micro_batch: int = 3) -> LoopJob:
    from accelerate import Accelerator

    changes = {"micro_batch": micro_batch, "batch_size": len(rows), "steps_per_epoch": 1}
    return LoopJob(
        train=settings.train.model_copy(update=changes),
        seeds=settings.seeds,
        model=model,
        parameters=trainable_tensors(model),
        scorer=make_scorer(model, settings),
        optimizer=torch.optim.AdamW(model.parameters()),
        source=StreamRows(rows, BatchOrder(rows.lengths, len(rows), 1, 0)),
        accelerator=Accelerator(cpu=True),
        teacher=teacher,
    )


def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path: Path) -> None:
    settings, rows, model, folder = with_teacher(tmp_path, "lm", train__distillation__loss="jsd")
    teacher = make_teacher(settings, build_teacher(settings, FolderBase(folder), CPU))
    found = []
    for micro_batch in (1, 3):
        model.zero_grad()
        job = loop_job(settings, model, rows, teacher, micro_batch)
        targets = sum(job.scorer.num_targets(rows, row) for row in range(3))
        loss, divisor = _accumulate_gradients(job, job.source.at(0), targets, BatchDigest())
        found.append(
            (
                loss.item() / divisor,
                {name: one.grad.clone() for name, one in job.parameters.items() if one.grad is not None},
            )
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_a_vocabulary_that_one_of_them_has_padded(tmp_path: Path) -> None:
    settings, rows, model, folder = with_teacher(tmp_path, "lm")
    teacher = make_teacher(settings, build_teacher(settings, FolderBase(folder), CPU))
    assert len(teacher.answers(make_scorer(model, settings).batch(rows, [0]))(slice(None))) == 5
    scores, wanted, losses = torch.randn(5, 128), torch.randn(5, 136), torch.zeros(5)
    same = teacher.blended(losses, scores, wanted[:, :128].log_softmax(-1))
    torch.testing.assert_close(teacher.blended(losses, scores, wanted.log_softmax(-1)), same)
    narrow = teacher.blended(losses, scores, wanted[:, :120].log_softmax(-1))
    torch.testing.assert_close(narrow, teacher.blended(losses, scores[:, :120], wanted[:, :120].log_softmax(-1)))


@pytest.mark.parametrize(("kind", "kernel"), [("gemma2", "eager"), ("gpt2", "sdpa")])
def test_a_teacher_without_the_runs_kernel_takes_the_plain_formula(tmp_path: Path, kind: str, kernel: str) -> None:
    write_tiny_model(tmp_path / "teacher", kind, seed=8)
    job = make_job(tmp_path, model__attention="sdpa", train__distillation=lesson(tmp_path / "teacher"))
    teacher: Any = build_teacher(job.plan.settings, FolderBase(tmp_path / "teacher"), CPU)
    assert teacher.config._attn_implementation == kernel


def job_with_teacher(root: Path, **changes: Any) -> Job:
    """A whole run whose teacher lies beside its model."""
    write_tiny_model(root / "teacher", "gpt2", seed=8)
    asked = lesson(root / "teacher", **changes.pop("lesson", {}))
    return make_job(root, train__distillation=asked, eval__metrics=("loss",), eval__max_new_tokens=None, **changes)


@pytest.mark.slow
def test_a_run_learns_from_its_teacher_and_does_so_again_bit_by_bit(tmp_path: Path) -> None:
    job = job_with_teacher(tmp_path)
    whole = job.run("whole")
    assert whole.status == "finished"
    steps = [event.loss for event in job.of_kind("step")]

    def stop_after_four(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("broken"), stop_after_four)
    again = job.run("broken")
    assert again.final_weights_sha256 == whole.final_weights_sha256
    assert [event.loss for event in job.of_kind("step")] == steps[3:]

    plain = make_job(tmp_path, eval__metrics=("loss",), eval__max_new_tokens=None)
    assert plain.run("plain").final_weights_sha256 != whole.final_weights_sha256


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_packed_teacher(tmp_path: Path, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    asked = {"quantization": quantization}
    job = job_with_teacher(tmp_path, lesson=asked, train__num_steps=2, train__packing=True)
    assert job.run().status == "finished"


def test_a_teacher_that_was_changed_stops_the_run(tmp_path: Path) -> None:
    job = job_with_teacher(tmp_path)
    (tmp_path / "teacher" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(Refusal) as refused:
        job.run()
    assert [(one.code, one.summary) for one in refused.value.diagnostics] == [
        ("FTC620", "file `model.safetensors` of the teacher differs from the plan")
    ]
