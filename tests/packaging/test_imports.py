"""What starts quickly stays quick: these commands never load the training stack.

Each runs in a process of its own, which tells at its end which of the heavy libraries it holds. Where they are not
installed the same tests hold too, since an import of one would fail.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

HEAVY = ("accelerate", "bitsandbytes", "datasets", "matplotlib", "peft", "sklearn", "torch", "transformers")
MARK = "loaded:"
OBSERVED = f"""
import atexit, json, sys
atexit.register(lambda: print("{MARK}" + json.dumps([m for m in {{modules!r}} if m in sys.modules]), file=sys.stderr))
"""
NOT_FOR_A_WARM_PLAN = (
    "ftc.compiler.recipes.edits",
    "ftc.compiler.resolve.rows.tables",
    "ftc.compiler.search.suggest",
    "ftc.spec.codes",
    "ftc.spec.documents.events",
    "ftc.spec.documents.imported",
    "ftc.spec.documents.record",
    "ftc.verbs.chat",
    "ftc.verbs.register",
    "ftc.verbs.server",
)
"""Modules that read rows, edit recipes, read runs, explain findings where there are none, or belong to another verb:
imports are most of a warm plan's time."""
NOT_FOR_A_RECIPES_TEXT = (
    "ftc.compiler.resolve.files.hub",
    "ftc.compiler.resolve.rows.table",
    "ftc.spec.codes",
    "ftc.spec.documents.calibration",
    "ftc.spec.documents.facts",
    "ftc.spec.documents.imported",
    "ftc.spec.documents.lockfile",
    "ftc.spec.documents.loss_settings",
    "ftc.spec.vision_card",
    "ftc.verbs.plan",
    "numpy",
    "psutil",
)
"""What reads files, rows and machines, or says what is wrong: `ftc validate` runs at each commit, and its time is
imports."""
MOST_DATACLASSES = 40
"""Dataclasses of ftc that `ftc validate` may make: a named tuple is made in a fraction of the time."""
DATACLASSES = f"""
import atexit, dataclasses, json, sys

def made():
    homes = [(name, module) for name, module in sys.modules.items() if name.startswith("ftc.")]
    classes = [(name, one) for name, module in homes for one in vars(module).values() if isinstance(one, type)]
    own = [one for name, one in classes if one.__module__ == name and dataclasses.is_dataclass(one)]
    print("{MARK}" + json.dumps(sorted(one.__qualname__ for one in own)), file=sys.stderr)

atexit.register(made)
"""
CONSOLE = "from ftc.cli.main import console\nconsole()"

RECIPE = """\
ftc: 1
name: tiny
task: {kind: classification}
data:
  source: {path: rows.csv}
  fields: {text: text, label: label}
model: {base: model}
strategy: {kind: lora, rank: 4}
"""


def heavy_modules(code: str, *arguments: str, folder: Path, among: tuple[str, ...] = HEAVY) -> list[str]:
    """The heavy libraries in a process that ran `code`; fails when it did not end well."""
    return observed(OBSERVED.format(modules=among) + code, *arguments, folder=folder)


def observed(code: str, *arguments: str, folder: Path) -> list[str]:
    """The names that a process shows at its end; fails when it did not end well."""
    command = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, "FTC_CACHE": str(folder / "cache")}
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env)
    assert child.returncode == 0, child.stdout + child.stderr
    return list(json.loads(child.stderr.rpartition(MARK)[2]))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with a recipe whose model and rows are real files, as small as they can be."""
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([f"{word} number {i}", word] for i in range(20) for word in ("warm", "cold"))
    write_bert(tmp_path / "model")
    return tmp_path


def write_bert(folder: Path) -> None:
    """A BERT encoder of one layer and eight dimensions, in the form in which models are published."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "warm", "cold", "number"]
    width, inner = 8, 16
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(words),
        "hidden_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": inner,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_file(bert_tensors(len(words), width, inner), folder / "model.safetensors", metadata={"format": "pt"})


def bert_tensors(words: int, width: int, inner: int) -> dict[str, np.ndarray]:
    """Weights of the encoder, all zero, under their published names."""
    layer = "encoder.layer.0."
    square = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (64, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        **{f"{layer}{name}.weight": (width, width) for name in square},
        **{f"{layer}{name}.bias": (width,) for name in square},
        f"{layer}intermediate.dense.weight": (inner, width),
        f"{layer}intermediate.dense.bias": (inner,),
        f"{layer}output.dense.weight": (width, inner),
        f"{layer}output.dense.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    for norm in ("embeddings.LayerNorm", f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "module",
    [
        "ftc",
        "ftc.spec.sections.recipe",
        "ftc.spec.documents.plan",
        "ftc.spec.documents.record",
        "ftc.api",
        "ftc.cli.main",
    ],
)
def test_an_import_is_light(module: str, tmp_path: Path) -> None:
    assert heavy_modules(f"import {module}", folder=tmp_path) == []


@pytest.mark.parametrize("arguments", [["--help"], ["schema"], ["plan", "--help"], ["apply", "--help"]], ids=" ".join)
def test_telling_about_itself_is_light(arguments: list[str], tmp_path: Path) -> None:
    assert heavy_modules(CONSOLE, *arguments, folder=tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_a_recipe_is_judged_without_the_training_stack(verb: str, job: Path) -> None:
    assert heavy_modules(CONSOLE, verb, "tiny.yaml", folder=job) == []
    assert heavy_modules(CONSOLE, verb, "tiny.yaml", "--json", folder=job) == []


def test_a_recipes_text_is_judged_without_what_reads_rows(job: Path) -> None:
    assert heavy_modules(CONSOLE, "validate", "tiny.yaml", folder=job, among=NOT_FOR_A_RECIPES_TEXT) == []


def test_a_recipes_text_is_judged_with_few_dataclasses(job: Path) -> None:
    made = observed(DATACLASSES + CONSOLE, "validate", "tiny.yaml", folder=job)
    assert "Span" in made
    assert len(made) <= MOST_DATACLASSES, made


@pytest.mark.slow
def test_a_plan_whose_rows_are_in_the_cache_loads_no_more_than_it_needs(job: Path) -> None:
    first = heavy_modules(CONSOLE, "plan", "tiny.yaml", folder=job, among=NOT_FOR_A_WARM_PLAN)
    assert "ftc.compiler.resolve.rows.tables" in first
    assert heavy_modules(CONSOLE, "plan", "tiny.yaml", folder=job, among=NOT_FOR_A_WARM_PLAN) == []


WITHOUT_TRAINING = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def test_tests_outside_of_the_runtime_are_read_where_the_training_stack_is_missing(tmp_path: Path) -> None:
    (tmp_path / "without_training.py").write_text(WITHOUT_TRAINING)
    command = [sys.executable, "-m", "pytest", "-p", "without_training", "-p", "no:cacheprovider"]
    command += ["--collect-only", "-q", "--ignore=tests/runtime"]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    root, env = Path(__file__).parents[2], {**os.environ, "PYTHONPATH": path}
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=env)
    assert child.returncode == 0, child.stdout[-3000:] + child.stderr[-1000:]
