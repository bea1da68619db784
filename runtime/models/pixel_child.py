"""What a model's processor makes of some images, as a program: a question on standard input, its answer on output.

It runs in a process of its own, so that a planner stays without torch and transformers.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Answers one question: `{"sha256": …}`, or `{"problem": …}` where there is no answer."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    asked = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    try:
        from ftc.runtime.models.pixels import FolderPixels, pixel_digest

        pixels = FolderPixels(Path(asked["streams"]), Path(asked["model"]), asked["options"]).of(asked["images"])
        answer = {"sha256": pixel_digest(pixels)}
    except Exception as error:  # noqa: BLE001 - any failure of a library's code is an answer
        answer = {"problem": (str(error).strip().splitlines() or [type(error).__name__])[0][:300]}
    output.write(json.dumps(answer) + "\n")
    output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
