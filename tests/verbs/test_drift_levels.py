"""Levels and numbers of rows at which nothing can be compared, in Python and on the command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.main import main


@pytest.mark.parametrize("level", [-0.1, 0, 1, 5, math.inf, math.nan])
def test_a_level_at_which_drift_is_never_or_always_found_is_refused(tmp_path: Path, level: float) -> None:
    with pytest.raises(ValueError, match=r"a level of `.*` is not a share between 0 and 1, such as 0\.01"):
        api.data_drift("run", "new.csv", level=level, folder=tmp_path)


@pytest.mark.parametrize("level", ["2", "0", "nan", "often"])
def test_the_command_line_says_the_same_of_a_level(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "run", "--data", "new.csv", "--level", level]) == 64
    assert f"a level of `{level}` is not a share between 0 and 1, such as 0.01" in capsys.readouterr().err


def test_no_rows_are_no_sample(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 rows of each side"):
        api.data_drift("run", "new.csv", rows=0, folder=tmp_path)
