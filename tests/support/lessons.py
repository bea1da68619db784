"""Settings of a teacher, made by hand for tests of the runtime, and teachers of projects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ftc.spec.canonical import file_digest

__all__ = ["ON_POLICY", "lesson", "lesson_of", "taught"]

ON_POLICY = "on_policy: {lmbda: 0.5, max_new_tokens: 6}, loss: generalized_jsd, beta: 0.3"
"""On-policy distillation, as a recipe has it."""


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


def taught(root: Path, model: str, lesson: str = ON_POLICY) -> Path:
    """Adds a teacher to a project, with other weights than its model has, from which its recipe learns."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(root / model, root / "teacher")
    file = root / "teacher" / "model.safetensors"
    weights = {name: 3 * weight[::-1].copy() for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    recipe = root / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    asked = f"train: {{distillation: {{teacher: ./teacher, {lesson}}}, "
    recipe.write_text(text.replace("train: {", asked, 1), encoding="utf-8", newline="\n")
    return root
