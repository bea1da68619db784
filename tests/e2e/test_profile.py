"""`ftc run profile` with real models: where a step's time goes, beside a run that stays as it is."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ftc import api
from ftc.spec.documents.profiled import ProfiledRun
from ftc.spec.step_parts import STEP_PARTS, part_of
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents


@pytest.fixture
def finished(project: MakeProject) -> Callable[..., api.Run]:
    def make(task: str, **recipe: str) -> api.Run:
        api.apply(project(task, steps=6, **recipe) / "recipe.yaml")
        (run,) = api.runs()
        return run

    return make


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("task", "model", "strategy"),
    [
        ("classification", "encoder", "lora"),
        ("chat", "decoder", "full"),
        ("preference", "decoder", "lora"),
        ("reinforcement", "decoder", "lora"),
        ("embedding", "encoder", "full"),
    ],
)
def test_parts_add_up_to_a_step(
    finished: Callable[..., api.Run], ftc: Ftc, task: str, model: str, strategy: str
) -> None:
    run = finished(task, model=model, strategy=strategy)
    before = contents(run.folder)
    answer = ftc("run", "profile", run.record.id, "--json")
    assert answer.code == 0, answer.err
    found = ProfiledRun.model_validate_json(answer.out)
    assert contents(run.folder) == before
    assert (found.run_id, found.warm_up, found.steps, found.is_gpu, found.kernels) == (run.record.id, 2, 3, False, None)
    assert sum(one.seconds for one in found.shares) == pytest.approx(found.seconds)
    parts = {one.part for one in found.shares}
    assert {"products", "loss", "optimizer", "input"} <= parts
    assert "communication" not in parts
    assert any("mm" in one.name for one in found.operations)
    assert found.tokens > 0
    assert [one.seconds for one in found.shares] == sorted((one.seconds for one in found.shares), reverse=True)
    known = {one.name: one.part for one in found.operations}
    assert known == {name: part_of(name).name for name in known}


@pytest.mark.slow
def test_the_page_and_the_timeline(finished: Callable[..., api.Run], ftc: Ftc) -> None:
    run = finished("classification", model="encoder", strategy="lora")
    answer = ftc("run", "profile", run.record.id, "--steps", "1", "--trace", "steps.json.gz")
    assert answer.code == 0, answer.err
    assert "matrix products" in answer.out
    assert "mean of 1 step" in answer.text
    timeline = json.loads(gzip.decompress(Path("steps.json.gz").read_bytes()))
    assert any(event.get("name") == "aten::addmm" for event in timeline["traceEvents"])
    html = ("run", "profile", run.record.id, "--format", "html", "-o", "time.html")
    assert ftc(*html).code == 0
    assert "matrix products" in Path("time.html").read_text(encoding="utf-8")
    assert ftc(*html).code == 0, "its own page is written again"
    Path("steps.json.gz").write_text("mine", encoding="utf-8")
    refused = ftc("run", "profile", run.record.id, "--trace", "steps.json.gz")
    assert refused.code != 0
    assert Path("steps.json.gz").read_text(encoding="utf-8") == "mine"


@pytest.mark.slow
def test_more_steps_than_the_run_has(finished: Callable[..., api.Run], ftc: Ftc) -> None:
    run = finished("classification", model="encoder", strategy="lora")
    answer = ftc("run", "profile", run.record.id, "--steps", "5")
    assert "FTC781" in answer.err
    assert "--steps 4" in answer.text


def test_a_run_too_short_for_any_number_of_steps(project: MakeProject, ftc: Ftc) -> None:
    api.apply(project("classification", steps=2, model="encoder", strategy="lora") / "recipe.yaml")
    answer = ftc("run", "profile", "tiny", "--steps", "1")
    assert ("FTC781" in answer.err, "--steps 1" in answer.text) == (True, False), answer.text


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        *(
            ("aten::mm", "products"),
            ("aten::addmm", "products"),
            ("aten::bmm", "products"),
            ("aten::linear", "products"),
        ),
        ("ampere_bf16_s16816gemm_bf16_128x128_ldg8_f2f_stages_32x5_nn", "products"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopB_TNT", "products"),
        ("void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu>(Params)", "products"),
        ("kgemm_4bit_inference_naive", "products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("void flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64> >", "attention"),
        ("aten::_softmax", "attention"),
        *(("aten::_log_softmax", "loss"), ("aten::nll_loss_backward", "loss"), ("aten::logsumexp", "loss")),
        ("void (anonymous namespace)::cunn_SoftMaxForward<4, float, SoftMaxForwardEpilogue>", "attention"),
        ("void (anonymous namespace)::cunn_SoftMaxForward<4, float, LogSoftMaxForwardEpilogue>", "loss"),
        *(("aten::native_layer_norm", "norms"), ("aten::rsqrt", "norms")),
        ("aten::_foreach_addcdiv_", "optimizer"),
        ("aten::linalg_vector_norm", "optimizer"),
        ("aten::_fused_adamw_", "optimizer"),
        *(("aten::embedding", "lookups"), ("aten::index_select", "lookups"), ("aten::gather", "lookups")),
        *(("aten::copy_", "copies"), ("Memcpy HtoD (Pinned -> Device)", "copies"), ("aten::cat", "copies")),
        ("aten::mul", "elementwise"),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::AddFunctor<float> >", "elementwise"),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "communication"),
        *(("cudaLaunchKernel", "launches"), ("cudaStreamSynchronize", "waiting")),
        *(("MmBackward0", "bookkeeping"), ("aten::view", "bookkeeping"), ("aten::t", "bookkeeping")),
        ("autograd::engine::evaluate_function: MulBackward0", "bookkeeping"),
        *(("aten::tanh", "elementwise"), ("aten::native_dropout", "elementwise"), ("something_new", "other")),
    ],
)
def test_each_operation_belongs_to_a_part(operation: str, part: str) -> None:
    assert part_of(operation).name == part


def test_parts_have_names_of_their_own() -> None:
    assert len({one.name for one in STEP_PARTS}) == len({one.label for one in STEP_PARTS}) == len(STEP_PARTS)
