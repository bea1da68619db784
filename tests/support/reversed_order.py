"""A plugin of pytest that runs tests from the last to the first: none may need what an earlier one left behind."""

from __future__ import annotations

import pytest

__all__ = ["pytest_collection_modifyitems"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turns the order around."""
    items.reverse()
