"""What tests of several machines share."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.launch.machines import Machine, site
from tests.support.projects import make_model


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with a saved plan for two processes; tests work on copies."""
    folder = tmp_path_factory.mktemp("site")
    make_model(folder / "models" / "encoder", "encoder")
    return site(folder, folder / "models")
