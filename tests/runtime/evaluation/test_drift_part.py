"""Some rows of a stream as a stream of their own, from which `ftc drift` learns what a run's rows are like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ftc.runtime.evaluation.drift_samples import write_part
from ftc.spec.documents.streams import open_stream
from tests.runtime.jobs import write_stream

LOADED = """
import sys
from pathlib import Path
from ftc.runtime.evaluation.drift_samples import write_part
write_part(Path(sys.argv[1]), Path(sys.argv[2]), {1})
print("pandas" in sys.modules)
"""


def test_rows_are_taken_by_their_numbers(tmp_path: Path) -> None:
    whole = write_stream(tmp_path / "rows.arrow", 6, seed=3)
    numbers = whole.rows.tolist()
    write_part(tmp_path / "rows.arrow", tmp_path / "part.arrow", {numbers[4], numbers[1]})
    part = open_stream(tmp_path / "part.arrow")
    assert part.rows.tolist() == [numbers[1], numbers[4]]
    assert [part.ids(place).tolist() for place in (0, 1)] == [whole.ids(place).tolist() for place in (1, 4)]


def test_nothing_but_arrow_is_loaded_for_it(tmp_path: Path) -> None:
    """Importing pandas would cost each run a fourth of a second at its end."""
    write_stream(tmp_path / "rows.arrow", 6, seed=3)
    command = [sys.executable, "-c", LOADED, str(tmp_path / "rows.arrow"), str(tmp_path / "part.arrow")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["False"]
