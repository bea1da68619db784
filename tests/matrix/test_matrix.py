"""Every task with every family and every strategy works, or is refused by a rule that has a name.

`docs/matrix.json` keeps what became of each cell, and `docs/matrix.md` shows it. All cells take a quarter of an hour:
`nox -s matrix` compares them, and with `-- --update-golden` writes them. Otherwise a few are looked at.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

from tests.matrix.cells import (  # after the packages without which nothing works
    BASES,
    FAMILIES,
    Cell,
    cells,
    outcome_of,
)
from tests.support.cards import CardRunner
from tests.support.projects import make_model

RESULTS = Path(__file__).parents[2] / "docs" / "matrix.json"
IS_WHOLE = bool(os.environ.get("FTC_MATRIX"))
_WORKING, _REFUSED = 3, 6


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each family."""
    folder = tmp_path_factory.mktemp("models")
    for family in (*FAMILIES, *BASES.values()):
        make_model(folder / family, family)
    return folder


@pytest.fixture(scope="session")
def cards() -> Iterator[CardRunner]:
    """Runs the code of model cards."""
    runner = CardRunner()
    yield runner
    runner.close()


def published() -> dict[str, str]:
    results: dict[str, str] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results


def chosen() -> list[Cell]:
    """All cells, or some that work and some that don't, which stay the same until the list changes."""
    if IS_WHOLE:
        return list(cells())
    known = published()
    order = sorted(cells(), key=lambda cell: zlib.crc32(str(cell).encode()))
    works = [cell for cell in order if known.get(str(cell)) == "works"]
    return [*works[:_WORKING], *[cell for cell in order if cell not in works][:_REFUSED]]


def test_every_cell_is_published() -> None:
    assert set(published()) == {str(cell) for cell in cells()}
    assert all(result == "works" or result.startswith("FTC") for result in published().values())


@pytest.mark.slow
@pytest.mark.parametrize("cell", chosen(), ids=str)
def test_a_cell(
    cell: Cell,
    models: Path,
    cards: CardRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = outcome_of(cell, tmp_path / "project", models, cards)
    if request.config.getoption("--update-golden"):
        results = {**published(), str(cell): found}
        ordered = {str(one): results[str(one)] for one in cells() if str(one) in results}
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    assert found == published().get(str(cell))
