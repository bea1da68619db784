"""One process of several that hold a model in parts: rows with and without images, in another order than the others'.

`python -m tests.runtime.mixed_rows_child FOLDER` ends with the exit code 0 when each loss is that of a whole model.
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
from tests.support.vision_settings import vision_settings

IMAGE = 4


def main() -> int:
    """Two micro-batches, forward and backward."""
    folder = Path(sys.argv[1])
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
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


def _loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    loss: torch.Tensor = model(**batch, labels=batch["input_ids"], use_cache=False).loss
    return loss


if __name__ == "__main__":
    sys.exit(main())
