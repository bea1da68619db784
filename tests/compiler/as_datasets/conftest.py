"""The library `datasets`, whose reading is what users know: what ftc reads is compared with what it reads.

It is no part of ftc: these tests alone import it, and are skipped where it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with its caches in the test's own folder and without a network."""
    datasets = pytest.importorskip("datasets")
    cache = tmp_path / "cache of datasets"
    for name in ("HF_DATASETS_CACHE", "DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH", "HF_MODULES_CACHE"):
        monkeypatch.setattr(datasets.config, name, cache / name.lower())
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    return datasets
