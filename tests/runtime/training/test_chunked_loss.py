"""A loss in chunks of positions is the loss: the same figures, the same gradients, and the same run when resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from ftc.runtime.artifacts.fingerprints import BatchDigest
from ftc.runtime.evaluation.scoring import score_rows
from ftc.runtime.execution.accelerator import make_accelerator
from ftc.runtime.execution.execute import execute
from ftc.runtime.models.base_model import FolderBase, trainable_tensors
from ftc.runtime.models.build_model import build_model
from ftc.runtime.tasks import make_scorer
from ftc.runtime.tasks.scorer import ModelWithScorer, target_losses
from ftc.runtime.training.distillation import build_teacher, make_teacher
from ftc.runtime.training.loop import Job as LoopJob
from ftc.runtime.training.loop import _accumulate_gradients
from ftc.runtime.training.signals import StopRequest
from ftc.runtime.training.sources import StreamRows
from ftc.spec.batches import BatchOrder
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.events import Event, StepDone
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream
from tests.runtime.jobs import make_job, write_stream
from tests.support.lessons import lesson
from tests.support.streams import write_columns
from tests.support.tiny_models import write_tiny_model

CPU = torch.device("cpu")
ROWS = 6
SIZE = 3
"""Positions at a time, of 8 or so in each micro-batch: whole chunks and a rest."""
TARGETS = {"t5": ("q", "v"), "bart": ("q_proj", "v_proj"), "gpt2": ("c_attn",)}
NUM_MODULES = {"t5": 12, "bart": 12, "gpt2": 2}


def settings_of(root: Path, kind: str, strategy: str = "lora", **changes: Any) -> tuple[Settings, Path]:
    """Settings for a tiny model of a kind, and its folder."""
    if strategy == "lora":
        changes |= {"strategy__adapter__targets": TARGETS.get(kind, ("q_proj", "v_proj"))}
        changes |= {"strategy__adapter__num_modules": NUM_MODULES.get(kind, 4), "strategy__adapter__dropout": 0.0}
    if kind in ("t5", "bart"):
        changes |= {"model__family": "encoder_decoder", "model__decoder_start_id": 0}
    changes = {"model__attention": "eager", **changes}
    job = make_job(root, kind, strategy, **changes)
    return job.plan.settings, job.inputs.model_folder


def gradients(
    settings: Settings, folder: Path, rows: TokenStream, size: int | None, teacher: Path | None = None
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a step over all rows, in two micro-batches."""
    update = {"loss_chunk_size": size, "micro_batch": 4, "batch_size": ROWS, "steps_per_epoch": 1}
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=update)})
    model: Any = build_model(settings, FolderBase(folder), CPU)
    if isinstance(bias := getattr(model, "final_logits_bias", None), torch.Tensor):
        bias.copy_(torch.randn(bias.shape, generator=torch.Generator().manual_seed(1)))
    scorer: Any = make_scorer(model, settings)
    if settings.train.preference is not None:
        scorer.learn_references(rows, torch.linspace(-9, -2, 2 * ROWS).view(ROWS, 2))
    job = LoopJob(
        train=settings.train,
        seeds=settings.seeds,
        model=model.train(),
        parameters=trainable_tensors(model),
        scorer=scorer,
        optimizer=torch.optim.SGD(model.parameters()),
        source=StreamRows(rows, BatchOrder(rows.lengths, ROWS, 1, 0)),
        accelerator=make_accelerator(settings),
        teacher=make_teacher(settings, build_teacher(settings, FolderBase(teacher), CPU)) if teacher else None,
    )
    targets = sum(scorer.num_targets(rows, row) for row in range(ROWS))
    torch.manual_seed(0)
    loss, divisor = _accumulate_gradients(job, job.source.at(0), targets, BatchDigest())
    return loss.item() / divisor, {name: one.grad for name, one in job.parameters.items() if one.grad is not None}


def agree(settings: Settings, folder: Path, rows: TokenStream, teacher: Path | None = None) -> None:
    """Chunks of three positions give what all positions at once give, but for the order of sums.

    In bfloat16 the gradient of an output layer is rounded once a chunk, each time by up to 2^-9 of it.
    """
    whole_loss, whole = gradients(settings, folder, rows, None, teacher)
    loss, found = gradients(settings, folder, rows, SIZE, teacher)
    far = 1e-5 if settings.train.precision == "float32" else 2**-6
    assert loss == pytest.approx(whole_loss, rel=far)
    assert found.keys() == whole.keys()
    for name, gradient in whole.items():
        assert float((found[name] - gradient).abs().max()) <= far * float(gradient.abs().max()) + 1e-9, name


@pytest.mark.parametrize(
    ("kind", "strategy", "precision"),
    [
        ("llama", "full", "float32"),
        ("llama", "lora", "bfloat16"),
        ("gemma2", "full", "bfloat16"),
        ("t5", "full", "bfloat16"),
        ("t5", "lora", "float32"),
        ("bart", "full", "float32"),
    ],
)
def test_next_tokens(tmp_path: Path, kind: str, strategy: str, precision: str) -> None:
    settings, folder = settings_of(tmp_path, kind, strategy, train__precision=precision, train__label_smoothing=0.1)
    agree(settings, folder, write_stream(tmp_path / "rows.arrow", ROWS, seed=9))


@pytest.mark.parametrize(
    ("kind", "strategy", "precision"), [("gemma2", "full", "bfloat16"), ("llama", "lora", "float32")]
)
def test_losses_of_some_positions_at_a_time_are_those_of_their_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, strategy: str, precision: str
) -> None:
    settings, folder = settings_of(tmp_path, kind, strategy, train__precision=precision)
    rows = write_stream(tmp_path / "rows.arrow", ROWS, seed=9)
    whole_loss, whole = gradients(settings, folder, rows, SIZE)
    seen: list[int] = []

    def two(positions: int, _vocabulary: int) -> int:
        seen.append(positions)
        return min(positions, 2)

    monkeypatch.setattr("ftc.runtime.tasks.chunked_head.compared_at_once", two)
    loss, found = gradients(settings, folder, rows, SIZE)
    assert SIZE in seen
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-8)


def test_an_output_layer_that_is_trained_beside_an_adapter(tmp_path: Path) -> None:
    settings, folder = settings_of(tmp_path, "llama", strategy__adapter__trained_modules=("lm_head",))
    config = transformers.LlamaConfig.from_pretrained(folder, tie_word_embeddings=False)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    rows = write_stream(tmp_path / "rows.arrow", ROWS, seed=9)
    agree(settings, folder, rows)
    assert any("lm_head" in name for name in gradients(settings, folder, rows, SIZE)[1])


@pytest.mark.parametrize("strategy", ["full", "lora"])
@pytest.mark.parametrize("loss", ["dpo", "orpo"])
def test_preferences(tmp_path: Path, strategy: str, loss: str) -> None:
    compared = {"loss": loss, "beta": 0.3, "sft_weight": 1.0 if loss == "orpo" else 0.0, "per_token": loss == "orpo"}
    more = {"train__preference": compared, "text__form": "preference"}
    settings, folder = settings_of(tmp_path, "llama", strategy, **more)
    both = [[1, 5, 6, 7 + n, 2, 1, 5, 6, 9, 8 + n, 2] for n in range(ROWS)]
    masks = [[0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]] * ROWS
    agree(
        settings, folder, write_columns(tmp_path / "rows.arrow", both, masks, prompts=[3] * ROWS, targets=[[5]] * ROWS)
    )


@pytest.mark.parametrize(("kind", "taught_by"), [("llama", "gpt2"), ("gemma2", "gemma2"), ("t5", "t5")])
def test_a_teachers_scores_are_chunked_too(tmp_path: Path, kind: str, taught_by: str) -> None:
    write_tiny_model(tmp_path / "teacher", taught_by, seed=8)
    asked = lesson(tmp_path / "teacher", "encoder_decoder" if kind == "t5" else "decoder", loss="jsd")
    settings, folder = settings_of(tmp_path, kind, "full", train__distillation=asked)
    agree(settings, folder, write_stream(tmp_path / "rows.arrow", ROWS, seed=9), tmp_path / "teacher")


def test_evaluation_holds_no_more_than_a_chunk(tmp_path: Path) -> None:
    rows = write_stream(tmp_path / "rows.arrow", ROWS, seed=9)
    found = []
    for size in (None, 2):
        settings, folder = settings_of(tmp_path, "llama", train__loss_chunk_size=size)
        model: Any = build_model(settings, FolderBase(folder), CPU)
        widest: list[int] = []
        model.get_output_embeddings().register_forward_hook(lambda _m, _i, out, seen=widest: seen.append(len(out)))
        work = ModelWithScorer(model, make_scorer(model, settings))
        with torch.no_grad():
            batches = score_rows(work, rows, ROWS, make_accelerator(settings), StopRequest())
            found.append({score.row: score.loss_sum for batch in batches for score in batch})
        assert max(widest) == (1 if size else sum(work.scorer.num_targets(rows, row) for row in range(ROWS)))
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.slow
def test_a_run_in_chunks_is_resumed_to_the_bit(tmp_path: Path) -> None:
    chunks = {
        "train__loss_chunk_size": 2,
        "train__micro_batch": 4,
        "train__num_steps": 4,
        "train__evaluate_every_steps": 1,
    }
    job = make_job(tmp_path, "llama", "full", **chunks, eval__metrics=("loss",), eval__max_new_tokens=None)
    whole = job.run("whole")
    assert whole.status == "finished"
    steps = [event.loss for event in job.of_kind("step")]

    def stop_after_two(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job.plan, job.inputs, job.folder("broken"), stop_after_two)
    again = job.run("broken")
    assert again.final_weights_sha256 == whole.final_weights_sha256
    assert [event.loss for event in job.of_kind("step")] == steps[1:]


def test_scores_that_change_in_a_new_way_are_refused(tmp_path: Path) -> None:
    settings, folder = settings_of(tmp_path, "llama", train__loss_chunk_size=2)
    rows = write_stream(tmp_path / "rows.arrow", ROWS, seed=9)
    model: Any = build_model(settings, FolderBase(folder), CPU)

    def halve(_model: Any, _inputs: Any, output: Any) -> Any:
        output.logits = output.logits / 2
        return output

    model.get_base_model().register_forward_hook(halve)
    scorer = make_scorer(model, settings)
    with pytest.raises(Refusal) as refused:
        target_losses(scorer, model, scorer.batch(rows, [0, 1]))
    (found,) = refused.value.diagnostics
    assert (found.code, found.path) == ("FTC266", "train.loss_chunk_size")
    assert found.help == ("write `train: {loss_chunk_size: none}`",)
