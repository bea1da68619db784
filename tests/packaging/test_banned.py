"""What no file of this project may do, checked in the syntax tree of every file: run what it reads.

A recipe, a model folder or a data file may come from a stranger. Each ban closes one way in which reading such a
thing could start code: pickles, `eval`, shells, imports by string, archives, templates outside a sandbox.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "compiler", "docs", "recipes", "runtime", "spec", "src", "tests")

MODULES = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"})
BUILTINS = frozenset({"__import__", "compile", "eval", "exec"})
FUNCTIONS = frozenset(
    {
        "importlib.import_module",
        "jinja2.Environment",
        "jinja2.Template",
        "os.popen",
        "os.system",
        "shutil.unpack_archive",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "tempfile.mktemp",
        "torch.hub.load",
        "torch.load",
        "torch.save",
    }
)
RUNS = {"runtime/rewards/code_child.py": {"compile", "exec"}}
"""The one file that runs what a model wrote, once its process has given up all but computing; and what it may call."""
METHODS = frozenset({"extract", "extractall", "unpack_archive"})
SWITCHES = frozenset({"allow_pickle", "shell", "trust_remote_code"})


def sources() -> list[Path]:
    """Every Python file of the checkout, each once, at its real place; folders that begin with a dot are caches."""
    nested = (path.resolve() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    own = (path for path in nested if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))
    return sorted({*ROOT.glob("*.py"), *own})


def findings(text: str) -> Iterator[str]:
    """The banned things in a file's text, each with its line."""
    tree = ast.parse(text)
    names = dict(_imported_names(tree))
    for node in ast.walk(tree):
        for problem in (*_banned_imports(node), *_banned_calls(node, names)):
            yield f"line {getattr(node, 'lineno', 0)}: {problem}"


@pytest.mark.slow
def test_no_file_runs_what_it_reads() -> None:
    found = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        some = findings(path.read_text(encoding="utf-8"))
        found += [f"{name}, {one}" for one in some if one.rpartition(" ")[2] not in RUNS.get(name, set())]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from yaml import safe_load",
        "import joblib.externals",
        "eval(text)",
        "__import__(name)",
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path)",
        "from torch import load\nload(path)",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as get\nget(name)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "archive.extractall(folder)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=flag)",
        "import jinja2\njinja2.Template(text)",
        "from jinja2 import Environment\nEnvironment()",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
        "import os\nos.system(command)",
    ],
)
def test_each_ban_bites(text: str) -> None:
    assert len(list(findings(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import re\nre.compile(pattern)",
        "model.eval()",
        "AutoModel.from_pretrained(name, trust_remote_code=False)",
        "from jinja2.sandbox import ImmutableSandboxedEnvironment\nImmutableSandboxedEnvironment()",
        "from safetensors.torch import load_file\nload_file(path)",
    ],
)
def test_what_is_safe_passes(text: str) -> None:
    assert list(findings(text)) == []


def _imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name to full name, for everything that the file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (root, root)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _banned_imports(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import():
            modules = [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module)):
            modules = [module]
        case _:
            modules = []
    yield from (f"import of {module}" for module in modules if module.split(".")[0] in MODULES)


def _banned_calls(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    called = _full_name(node.func, names)
    if called in FUNCTIONS or called in BUILTINS:
        yield f"call of {called}"
    elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield f"call of .{node.func.attr}"
    for keyword in node.keywords:
        off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in SWITCHES and not off:
            yield f"{keyword.arg} is not off"


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return names.get(name, name)
        case ast.Attribute(value=value, attr=attribute):
            return f"{_full_name(value, names)}.{attribute}"
        case _:
            return "?"
