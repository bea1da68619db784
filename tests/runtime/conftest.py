"""Skips this folder where torch isn't installed, and keeps libraries quiet."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
