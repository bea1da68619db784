"""A program for an environment with transformers 4, which knows nothing of ftc: it writes base models, and asks models.

`python -m tests.support.old_transformers make|ask JOBS.json`: a job is a list of a class, a model type and a folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.support.tiny_architectures import tiny_config
from tests.support.written_models import CHANGES, FREQUENCIES, answers

__all__: list[str] = []


def make(kind: str, model_type: str, folder: Path) -> None:
    """Writes a tiny model whose rotary embedding, if it has one, isn't the usual one."""
    known = tiny_config(model_type).to_dict()
    torch.manual_seed(5)
    changes = {name: value for name, value in FREQUENCIES.items() if name in known}
    config = tiny_config(model_type, **changes, **CHANGES.get(model_type, {}))
    getattr(transformers, kind).from_config(config).save_pretrained(folder)


def ask(kind: str, model_type: str, folder: Path) -> None:
    """Writes what the model that lies there says."""
    from safetensors.torch import save_file

    model = getattr(transformers, kind).from_pretrained(folder).eval()
    save_file({"answers": answers(model)}, folder / "asked.safetensors")


def main(verb: str, jobs: Path) -> None:
    """Does each job; what can't be done is noted beside it, and hinders no other."""
    faults: dict[str, str] = {}
    for kind, model_type, folder in json.loads(jobs.read_text()):
        work: Any = {"make": make, "ask": ask}[verb]
        try:
            work(kind, model_type, Path(folder))
        except Exception as fault:  # noqa: BLE001 - of whatever kind, it is the finding
            faults[folder] = f"{type(fault).__name__}: {fault}"
    jobs.with_suffix(".faults").write_text(json.dumps(faults))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
