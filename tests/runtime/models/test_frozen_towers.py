"""What reads images stays frozen: no gradient goes through it, and no process waits for another one's images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.vision_models import MODELS

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

KINDS = ("llava", "gemma3", "smolvlm", "paligemma")


@pytest.mark.parametrize(
    ("strategy", "value"), [("lora", True), ("lora", "selective"), ("full", True), ("full", "selective")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_activation_checkpointing_leaves_the_tower_without_a_backward_pass(
    kind: str, strategy: str, value: Any, tmp_path: Path
) -> None:
    from ftc.runtime.models.base_model import FolderBase
    from ftc.runtime.models.build_model import build_model
    from tests.runtime.models.test_image_masks import batch_of
    from tests.support.vision_settings import tiny_vision, vision_settings

    MODELS[kind](tmp_path)
    attention = "eager" if kind == "paligemma" else "sdpa"
    changes: dict[str, Any] = {"model__attention": attention, "train__activation_checkpointing": value}
    if strategy == "full":
        changes["strategy__freeze"] = tiny_vision(kind, 16).frozen
    settings = vision_settings(tmp_path, strategy, **changes)
    model: Any = build_model(settings, FolderBase(tmp_path), torch.device("cpu")).train()
    modules = dict(model.named_modules())
    seen: list[tuple[str, bool]] = []

    def look(name: str) -> Any:
        return lambda _module, _given, out: seen.append((name, out.requires_grad))

    ends = ("multi_modal_projector", "connector", "encoder.layers.0.self_attn.q_proj", "layers.0.mlp.gate_proj")
    for name, module in modules.items():
        if name.endswith(ends):
            module.register_forward_hook(look("text" if "gate_proj" in name else "images"))
    inputs = batch_of(kind, model.config)
    if kind == "llava":
        ids = torch.tensor([[1, *[4] * 16, 7, 8], [1, *[4] * 16, 9, 8]])
        inputs = {"input_ids": ids, "pixel_values": inputs["pixel_values"]}
    loss = model(**inputs, use_cache=False).logits.float().sum()
    loss.backward()
    assert any(name == "images" for name, _ in seen)
    assert not any(grad for name, grad in seen if name == "images")
    assert sum(name == "text" for name, _ in seen) == 2, "the language model's layer runs once more"
    trained = [one for one in model.parameters() if one.requires_grad]
    assert trained
    assert all(one.grad is not None for one in trained)


def test_rotations_of_a_tower_stay_exact_beside_packed_weights(tmp_path: Path) -> None:
    """As transformers loads them: others read the adapter beside such a tower."""
    pytest.importorskip("bitsandbytes")
    from ftc.runtime.models.base_model import FolderBase
    from ftc.runtime.models.build_model import build_model
    from tests.support.vision_settings import vision_settings

    MODELS["qwen3_vl"](tmp_path)
    settings = vision_settings(tmp_path, "qlora", train__precision="bfloat16")
    model: Any = build_model(settings, FolderBase(tmp_path), torch.device("cpu"))
    rotations = {name: one.dtype for name, one in model.named_buffers() if name.endswith("inv_freq")}
    assert any(".visual." in name for name in rotations)
    assert set(rotations.values()) == {torch.float32}
    tower = {one.dtype for name, one in model.named_parameters() if ".visual." in name}
    assert tower == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.parametrize("way", [(), ("full",)])
def test_processes_divide_a_model_that_reads_images(way: tuple[str, ...], tmp_path: Path) -> None:
    """Beside an adapter one has an image while the other has none, and the other way around; else each row has one."""
    MODELS["llava"](tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-backend", "c10d"),
            *("--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
            *("-m", "tests.runtime.mixed_rows_child", str(tmp_path), *way),
        ],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
