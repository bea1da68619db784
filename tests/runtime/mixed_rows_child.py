"""One process of several that hold a model in parts: rows with and without images, in another order than the others'.

`python -m tests.runtime.mixed_rows_child FOLDER` ends with the exit code 0 when each loss is that of a whole model.
With `full` behind it each row has an image, projector and language model are trained, and gradients are compared.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ftc.runtime.models.base_model import FolderBase
from ftc.runtime.models.build_model import build_model
from ftc.runtime.models.sharding import shard
from tests.support.vision_settings import tiny_vision, vision_settings

IMAGE = 4


def main() -> int:
    """Two micro-batches, forward and backward."""
    folder = Path(sys.argv[1])
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    if sys.argv[2:] == ["full"]:
        return _trained_in_full(folder)
    settings = vision_settings(folder, train__sharding="fsdp", train__world_size=2)
    whole = build_model(settings, FolderBase(folder), torch.device("cpu"))
    text = {"input_ids": torch.tensor([[1, 6, 7, 8, 9]])}
    draw = torch.Generator().manual_seed(3)
    pixels = torch.randn(1, 3, 28, 28, generator=draw)
    seen = {"input_ids": torch.tensor([[1, *[IMAGE] * 16, 7, 8]]), "pixel_values": pixels}
    batches = [text, seen] if torch.distributed.get_rank() else [seen, text]
    expected = [_loss(whole, batch).item() for batch in batches]
    divided = shard(build_model(settings, FolderBase(folder), torch.device("cpu")), settings.train, torch.device("cpu"))
    for batch, loss in zip(batches, expected, strict=True):
        found = _loss(divided, batch)
        found.backward()
        assert abs(found.item() - loss) < 1e-4, (found, loss)
    torch.distributed.destroy_process_group()
    return 0


def _trained_in_full(folder: Path) -> int:
    """A micro-batch each; gradients are the mean of those of a whole model."""
    vision = tiny_vision("llava", 16).model_copy(update={"frozen": ("vision_tower",)})
    changes: dict[str, Any] = {"strategy__freeze": ("vision_tower",), "model__vision": vision.model_dump()}
    settings = vision_settings(folder, "full", train__sharding="fsdp", train__world_size=2, **changes)
    whole = build_model(settings, FolderBase(folder), torch.device("cpu"))
    draw = torch.Generator().manual_seed(3)
    batches = [
        {"input_ids": torch.tensor([ids]), "pixel_values": torch.randn(1, 3, 28, 28, generator=draw)}
        for ids in ([1, *[IMAGE] * 16, 7, 8], [1, 9, *[IMAGE] * 16, 7, 8, 6])
    ]
    for batch in batches:
        (_loss(whole, batch) / 2).backward()
    divided = shard(build_model(settings, FolderBase(folder), torch.device("cpu")), settings.train, torch.device("cpu"))
    _loss(divided, batches[torch.distributed.get_rank()]).backward()
    expected = {name: one.grad for name, one in whole.named_parameters() if one.requires_grad}
    for name, one in divided.named_parameters():
        if one.requires_grad:
            found: Any = one.grad
            torch.testing.assert_close(found.full_tensor(), expected.pop(name), rtol=1e-4, atol=1e-5)
    assert not expected, expected.keys()
    torch.distributed.destroy_process_group()
    return 0


def _loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    loss: torch.Tensor = model(**batch, labels=batch["input_ids"], use_cache=False).loss
    return loss


if __name__ == "__main__":
    sys.exit(main())
