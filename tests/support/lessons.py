"""Settings of a teacher, made by hand for tests of the runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc.spec.canonical import file_digest

__all__ = ["lesson", "lesson_of"]


def lesson(folder: Path, family: str = "decoder", **changes: Any) -> dict[str, Any]:
    """Settings of a teacher that lies in a folder; `teacher` among the changes holds those of the teacher itself."""
    files = {one.name: {"size": one.stat().st_size, "sha256": file_digest(one)} for one in folder.iterdir()}
    config = json.loads((folder / "config.json").read_text())
    teacher = {"files": files, **changes.pop("teacher", {})}
    return lesson_of(config["architectures"][0], family, **changes, teacher=teacher)


def lesson_of(architecture: str, family: str, **changes: Any) -> dict[str, Any]:
    """The same without files."""
    teacher: dict[str, Any] = {
        "base": "models/teacher",
        "commit": None,
        "files": {},
        "architecture": architecture,
        "family": family,
        "num_parameters": 1,
        "license": None,
        "outputs": (),
    }
    usual = {"loss": "forward_kl", "temperature": 2.0, "weight": 0.5, "precision": "float32", "quantization": None}
    return {**usual, **changes, "teacher": {**teacher, **changes.get("teacher", {})}}
