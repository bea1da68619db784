"""Lines that print what a graph says of texts, run on texts whose words are easily mistaken for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ftc.spec.head_programs import TAGS

_GIVEN = """\
from types import SimpleNamespace
import numpy as np
texts, names = ["park a a"], ["B-x", "O", "I-x"]
encoded, outputs = [SimpleNamespace(offsets=[(0, 4), (4, 6), (6, 8)])], {"logits": [np.eye(3)]}
"""


def test_each_word_has_the_tag_of_its_own_place(tmp_path: Path) -> None:
    """A word that stands in the one before it, or twice in a row, is found behind it."""
    program = tmp_path / "program.py"
    program.write_text(_GIVEN + "\n".join(TAGS), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "park/B-x a/O a/I-x\n"
