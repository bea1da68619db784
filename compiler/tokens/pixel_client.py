"""Asks a process with transformers what the model's own processor makes of the first images of a plan."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ftc.compiler.resolve.machine.package_code import code_digest
from ftc.spec.documents.facts import ModelFacts
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.documents.vision_settings import processor_options
from ftc.spec.storage.paths import cache_folder
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["ask_for_pixels", "processor_key"]

_PASSED_ON = ("HOME", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV")
_SETTINGS = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
_TIMEOUT_SECONDS = 300
_LIBRARIES = ("torch", "transformers", "pillow")


def processor_key(model: ModelFacts) -> dict[str, object]:
    """What the pixels of an image hang on, as JSON values: the processor's files, and the code that runs it."""
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    code = code_digest("transformers", cache_folder()) if versions["transformers"] else None
    files = {name: model.files[name].sha256 for name in PROCESSOR_FILES if name in model.files}
    return {"files": files, "versions": versions, "code": code}


def ask_for_pixels(
    streams: Path, model_folder: Path, vision: VisionFacts | None, images: Sequence[str]
) -> tuple[str | None, str]:
    """sha256 of the pixels of some images; else None, with the reason.

    Args:
        streams: Folder of the images.
        model_folder: Where the model's processor lies.
        vision: What reads them.
        images: sha256 of each.
    """
    if vision is None or not images:
        return None, "no row has images"
    modules = ("torch", "transformers", "PIL")
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        return None, f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed"
    options = processor_options(vision.card, vision.pans)
    asked = {"streams": str(streams), "model": str(model_folder), "images": list(images), "options": {**options}}
    # -P: a module in the folder where somebody plans must not take the place of an installed one.
    command = [sys.executable, "-P", "-m", "ftc.runtime.models.pixel_child"]
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _SETTINGS
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asked),
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        answer: Mapping[str, object] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None, f"the image processor took more than {_TIMEOUT_SECONDS} s"
    except (OSError, ValueError):
        return None, "the process of the image processor gave no answer"
    found = answer.get("sha256")
    return (found, "") if isinstance(found, str) else (None, str(answer.get("problem")))
