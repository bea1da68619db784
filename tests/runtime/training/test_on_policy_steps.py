"""Ten steps on written answers, the model's own (GKD) or its teacher's, beside the papers' formulas in plain torch."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from ftc.runtime.execution.execute import execute
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.training.answer_writer import AnswerWriter
from ftc.runtime.training.distillation import build_teacher, make_teacher
from ftc.runtime.training.loop import Job, training_steps
from ftc.runtime.training.optimizers import make_optimizer
from ftc.runtime.training.signals import StopRequest
from ftc.runtime.training.sources import StreamRows
from ftc.runtime.training.written_rows import WrittenRows
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.events import Event, StepDone
from ftc.spec.documents.streams import TokenStream
from ftc.spec.writing import Writing
from tests.runtime.jobs import Job as RunJob
from tests.runtime.jobs import changed, make_job
from tests.support.lessons import lesson
from tests.support.streams import write_columns
from tests.support.tiny_models import write_tiny_model

STEPS, LONGEST = 10, 4
CPU = torch.device("cpu")
IDS = [[1, 5, 6, 7, 8, 2], [1, 9, 8, 7, 2], [1, 5, 5, 5, 5, 2], [1, 6, 4, 9, 2]]
PROMPTS = [2, 3, 2, 4]


def rows_of(file: Path) -> TokenStream:
    """Four prompts with their answers."""
    masks = [[0] * length + [1] * (len(ids) - length) for ids, length in zip(IDS, PROMPTS, strict=True)]
    return write_columns(file, IDS, masks, prompts=PROMPTS)


def asked(teacher: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a teacher whom the model is judged by."""
    own = {"lmbda": 0.5, "max_new_tokens": LONGEST, "temperature": 0.8, "top_k": 0, **changes.pop("on_policy", {})}
    return lesson(teacher, **{"temperature": 1.0, "weight": 1.0, "on_policy": own, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunJob]:
    """Jobs whose model and plan all cases share, by strategy."""
    root = tmp_path_factory.mktemp("job")
    write_tiny_model(root / "teacher", "gpt2", seed=8)
    return {kind: make_job(root / kind, "llama", kind) for kind in ("full", "lora")}


def loop_of(job: RunJob, folder: Path, **changes: Any) -> tuple[Job, Any, Any]:
    """The loop over the rows, its model and its teacher."""
    teacher_folder = job.inputs.model_folder.parent.parent / "teacher"
    if not teacher_folder.is_dir():
        write_tiny_model(teacher_folder, "gpt2", seed=8)
    usual = {
        "train.distillation": changes.pop("distillation", None) or asked(teacher_folder, **changes),
        "seeds.sampling": 11,
        "train.num_steps": STEPS,
        "train.steps_per_epoch": 1,
        "train.batch_size": 4,
        "train.micro_batch": 3,
        "eval.batch_size": 2,
    }
    if hasattr(job.plan.settings.strategy, "adapter"):
        usual["strategy.adapter.dropout"] = 0.0
    settings = changed(job.plan, usual).settings
    model = build_model(settings, FolderBase(job.inputs.model_folder), CPU)
    teacher = build_teacher(settings, FolderBase(teacher_folder), CPU)
    from accelerate import Accelerator

    accelerator, rows = Accelerator(cpu=True), rows_of(folder / "rows.arrow")
    order = BatchOrder(rows.lengths, 4, 1, settings.seeds.order)
    writes = settings.train.writing
    assert writes is not None
    writer = AnswerWriter(teacher if writes.by == "teacher" else model, rows, settings, StopRequest(), accelerator)
    parameters = trainable_tensors(model)
    loop = Job(
        train=settings.train,
        seeds=settings.seeds,
        model=model,
        parameters=parameters,
        scorer=make_scorer(model, settings),
        optimizer=make_optimizer(parameters, settings.train, model),
        source=WrittenRows(StreamRows(rows, order), writer, settings),
        accelerator=accelerator,
        teacher=make_teacher(settings, teacher),
    )
    return loop, model, teacher


def by_formula(model: Any, teacher: Any, lines: list[tuple[list[int], int]], beta: float) -> torch.Tensor:
    """The loss of a step, each row alone and unpadded: the mean over the answers' tokens of the generalized JSD."""
    terms = []
    for ids, length in lines:
        answered = slice(length - 1, len(ids) - 1)
        q = model(input_ids=torch.tensor([ids])).logits[0, answered].log_softmax(-1)
        with torch.no_grad():
            p = teacher(input_ids=torch.tensor([ids])).logits[0, answered].log_softmax(-1)
        if beta == 0:
            apart = functional.kl_div(q, p, reduction="none", log_target=True)
        elif beta == 1:
            apart = functional.kl_div(p, q, reduction="none", log_target=True)
        else:  # as `GKDTrainer.generalized_jsd_loss` of TRL has it
            weight = torch.tensor(beta)
            mixture = torch.logsumexp(torch.stack([q + torch.log1p(-weight), p + torch.log(weight)]), dim=0)
            of_teacher = functional.kl_div(mixture, p, reduction="none", log_target=True)
            of_model = functional.kl_div(mixture, q, reduction="none", log_target=True)
            apart = weight * of_teacher + (1 - weight) * of_model
        terms.append(apart.sum(dim=-1))
    return torch.cat(terms).mean()


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("strategy", "loss", "beta", "chunks"),
    [
        ("full", {"loss": "forward_kl"}, 0.0, None),
        ("full", {"loss": "generalized_jsd", "beta": 0.3}, 0.3, None),
        ("full", {"loss": "generalized_jsd", "beta": 0.9}, 0.9, 2),
        ("lora", {"loss": "reverse_kl"}, 1.0, None),
        ("lora", {"loss": "jsd"}, 0.5, 3),
    ],
)
def test_ten_steps_by_the_formula(
    strategy: str, loss: dict[str, Any], beta: float, chunks: int | None, made: dict[str, RunJob], tmp_path: Path
) -> None:
    job = made[strategy]
    job = replace(job, plan=changed(job.plan, {"train.loss_chunk_size": chunks})) if chunks else job
    loop, model, teacher = loop_of(job, tmp_path, **loss)
    rows, plain, written = rows_of(tmp_path / "again.arrow"), copy.deepcopy(model), []
    steps = training_steps(loop, 0)
    for number in range(STEPS):
        plain.load_state_dict(model.state_dict())  # the weights before the step
        step = next(steps)
        answers = loop.source.answers
        if answers:
            heads = (rows.ids(one.prompt)[: rows.prompt_length(one.prompt)].tolist() for one in answers)
            lines = [([*head, *one.ids], len(head)) for head, one in zip(heads, answers, strict=True)]
            assert all(1 <= len(one.ids) <= LONGEST for one in answers)
        else:
            lines = list(zip(IDS, PROMPTS, strict=True))
        expected = by_formula(plain, teacher, lines, beta)
        weights = trainable_tensors(plain)
        gradients = torch.autograd.grad(expected, list(weights.values()), allow_unused=True)
        norm = torch.stack([one.norm() for one in gradients if one is not None]).norm()
        assert step.loss == pytest.approx(expected.item(), rel=1e-4, abs=1e-6), f"step {step.step}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3, abs=1e-5), f"step {step.step}"
        assert (step.written is None) == (not answers)
        written += [number] if answers else []
    assert written == [1, 3, 5, 7, 9], "half of the steps, evenly spread"


def by_the_teacher(teacher: Path, **changes: Any) -> dict[str, Any]:
    """Settings of a teacher that writes the answers."""
    own = {"max_new_tokens": LONGEST, "temperature": 0.0, "top_k": 0, **changes.pop("seq_kd", {})}
    return lesson(teacher, **{"weight": 0.0, "temperature": 1.0, "seq_kd": own, **changes})


@pytest.mark.sample(1)
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_ten_steps_on_what_a_teacher_writes(weight: float, made: dict[str, RunJob], tmp_path: Path) -> None:
    """Kim and Rush 2016: the teacher's likeliest answer to each prompt is learned; with a weight its words as well."""
    folder = made["full"].inputs.model_folder.parent.parent / "teacher"
    loop, model, teacher = loop_of(made["full"], tmp_path, distillation=by_the_teacher(folder, weight=weight))
    plain, rows = copy.deepcopy(model), rows_of(tmp_path / "again.arrow")
    greedy = {}
    for number in range(len(IDS)):
        head = torch.from_numpy(rows.ids(number)[: rows.prompt_length(number)].astype("int64"))[None]
        stops = list(made["full"].plan.settings.model.stop_ids)
        said = teacher.generate(
            head, attention_mask=torch.ones_like(head), max_new_tokens=LONGEST, do_sample=False, eos_token_id=stops,
            pad_token_id=0,
        )  # fmt: skip
        greedy[number] = said[0, head.shape[1] :].tolist()
    for _ in range(STEPS):
        plain.load_state_dict(model.state_dict())
        step = next(training_steps(loop, _))
        assert {one.prompt: list(one.ids) for one in loop.source.answers} == greedy
        terms = []
        for number, tail in greedy.items():
            head = rows.ids(number)[: rows.prompt_length(number)].tolist()
            ids, lines = torch.tensor([[*head, *tail]]), slice(len(head) - 1, len(head) + len(tail) - 1)
            scores = plain(input_ids=ids).logits[0, lines].log_softmax(-1)
            with torch.no_grad():
                wanted = teacher(input_ids=ids).logits[0, lines].log_softmax(-1)
            own = functional.nll_loss(scores, torch.tensor(tail), reduction="none")
            apart = functional.kl_div(scores, wanted, reduction="none", log_target=True).sum(dim=-1)
            terms.append((1 - weight) * own + weight * apart)
        expected = torch.cat(terms).mean()
        gradients = torch.autograd.grad(expected, list(trainable_tensors(plain).values()), allow_unused=True)
        norm = torch.stack([one.norm() for one in gradients if one is not None]).norm()
        assert step.loss == pytest.approx(expected.item(), rel=1e-5, abs=1e-6), f"step {step.step}"
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-3, abs=1e-5), f"step {step.step}"


def test_a_teachers_answers_are_drawn_by_step_and_row(made: dict[str, RunJob], tmp_path: Path) -> None:
    folder = made["full"].inputs.model_folder.parent.parent / "teacher"
    loop, _, _ = loop_of(made["full"], tmp_path, distillation=by_the_teacher(folder, seq_kd={"temperature": 1.0}))
    loop.source.at(4)
    first = loop.source.answers
    loop.source.at(5)
    assert [one.ids for one in loop.source.answers] != [one.ids for one in first]
    loop.source.at(4)
    assert loop.source.answers == first


def test_an_answer_depends_on_weights_step_and_prompt_alone(made: dict[str, RunJob], tmp_path: Path) -> None:
    always = {"on_policy": {"lmbda": 1.0}}
    loop, _, _ = loop_of(made["full"], tmp_path, **always)
    alone = replace(made["full"], plan=changed(made["full"].plan, {"eval.batch_size": 1}))
    other, _, _ = loop_of(alone, tmp_path, **always)
    loop.source.at(4), other.source.at(4)
    first = loop.source.answers
    assert [one.ids for one in first] == [one.ids for one in other.source.answers]
    loop.source.at(5)
    assert [one.ids for one in loop.source.answers] != [one.ids for one in first]
    loop.source.at(4)
    assert loop.source.answers == first
    assert loop.model.training == other.model.training


@pytest.mark.parametrize(("share", "steps"), [(1.0, 7), (0.5, 3), (0.29, 2), (0.1, 0)])
def test_the_share_of_steps(share: float, steps: int) -> None:
    writing = Writing(
        by="model", answers=1, max_new_tokens=4, temperature=1.0, top_k=0, share=share, divides=True, here=True
    )
    assert sum(map(writing.at, range(7))) == writing.count(7) == steps
    assert writing.count(100) == round(100 * share)


@pytest.mark.slow
def test_a_run_that_is_broken_off_writes_what_the_whole_one_wrote(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "teacher", "gpt2", seed=8)
    changes: dict[str, Any] = {"train__distillation": asked(tmp_path / "teacher"), "seeds__sampling": 11}
    job = make_job(tmp_path, eval__metrics=("loss",), eval__max_new_tokens=None, **changes)
    whole = job.run("whole")
    assert whole.status == "finished"
    answers = job.folder("whole").answers.read_bytes()
    assert answers

    def stop_after_four(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("broken"), stop_after_four)
    again = job.run("broken")
    assert again.final_weights_sha256 == whole.final_weights_sha256
    assert job.folder("broken").answers.read_bytes() == answers
