"""Settings of a teacher, made by hand for tests of the runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.spec.canonical import file_digest

__all__ = ["lesson"]


def lesson(folder: Path, family: str = "decoder", **changes: Any) -> dict[str, Any]:
    """Settings of a teacher that lies in a folder."""
    files = {one.name: {"size": one.stat().st_size, "sha256": file_digest(one)} for one in folder.iterdir()}
    config = json.loads((folder / "config.json").read_text())
    teacher = {
        "base": "models/teacher",
        "commit": None,
        "files": files,
        "architecture": config["architectures"][0],
        "family": family,
        "num_parameters": 1,
        "license": None,
        "outputs": (),
    }
    usual = {"loss": "forward_kl", "temperature": 2.0, "weight": 0.5, "precision": "float32", "quantization": None}
    return {"teacher": {**teacher, **changes.pop("teacher", {})}, **usual, **changes}
