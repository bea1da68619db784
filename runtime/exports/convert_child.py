"""A program of its own: llama.cpp's converter turns a model's folder, or an adapter's, into a GGUF file.

It runs the converter's own files, which lie in a folder that was unpacked from a pinned archive; nothing of ftc is
imported here. `convert_child.py JOB.json` converts what the job says.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

__all__: list[str] = []


def main(file: Path) -> None:
    """Converts a model, or an adapter."""
    job = json.loads(file.read_text(encoding="utf-8"))
    folder = Path(job["converter"])
    sys.path[:0] = [str(folder), str(folder / "gguf-py")]
    from conversion.base import ModelBase, TextModel

    before = ModelBase.prepare_metadata

    def with_origin(self: Any, *args: Any, **options: Any) -> Any:
        found = before(self, *args, **options)
        for name, value in job["metadata"].items():
            self.gguf_writer.add_string(name, value)
        return found

    ModelBase.prepare_metadata = with_origin
    if job["pre_tokenizer"]:
        TextModel.get_vocab_base_pre = lambda _self, _tokenizer: job["pre_tokenizer"]
    sys.argv = [job["program"], *job["arguments"]]
    runpy.run_path(str(folder / job["program"]), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
