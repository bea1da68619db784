"""The processes that `ftc apply` starts beside itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ftc.cli import companions as module
from ftc.cli.companions import companions, needs_companions

TELLS = """
import json, os, pathlib, sys, time
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
told = {name: os.environ[name] for name in names} | {"words": sys.argv[1:]}
pathlib.Path(os.environ["TOLD"], os.environ["RANK"]).write_text(json.dumps(told))
if "stay" in sys.argv:
    time.sleep(600)
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where each started process writes what it was told; it is a script in the place of ftc."""
    (tmp_path / "fake" / "ftc").mkdir(parents=True)
    (tmp_path / "fake" / "ftc" / "__main__.py").write_text(TELLS)
    (tmp_path / "fake" / "ftc" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setenv("TOLD", str(tmp_path))
    return tmp_path


def test_each_process_is_told_who_it_is(told: Path) -> None:
    before = dict(os.environ)
    with companions(3, ["apply", "job.plan.json"]):
        here = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
        assert (here["RANK"], here["WORLD_SIZE"]) == ("0", "3")
    assert dict(os.environ) == before
    others = [json.loads((told / str(rank)).read_text()) for rank in (1, 2)]
    for rank, other in enumerate(others, start=1):
        assert (other["RANK"], other["LOCAL_RANK"], other["WORLD_SIZE"]) == (str(rank), str(rank), "3")
        assert other["MASTER_PORT"] == here["MASTER_PORT"]
        assert other["words"] == ["apply", "job.plan.json"]


def test_they_end_where_the_first_one_fails(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    make = module._started
    monkeypatch.setattr(module, "_started", lambda *given: started.append(make(*given)) or started[-1])
    with pytest.raises(KeyError), companions(2, ["stay"]):
        raise KeyError("refused")
    (other,) = started
    assert other.returncode is not None  # type: ignore[attr-defined]


def test_a_launcher_is_left_to_its_work() -> None:
    pytest.importorskip("torch")
    assert needs_companions(2, {})
    assert not needs_companions(1, {})
    assert not needs_companions(2, {"RANK": "0"})
