"""Measures the code itself: files, lines, helpers used once, imports, homes of a concept, and what a warm plan loads.

With another checkout (`git worktree add ../before COMMIT`) both are measured in turns, each on its own recipe, and a
warm plan's CPU seconds stand as a ratio. The recipe's model and data have to be in both. Product code is `spec`,
`compiler`, `runtime` and `src/ftc` without its links.

    python benchmarks/structure.py [OTHER_CHECKOUT] [--recipe RECIPE] [--rounds 5]
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from support.processes import run

ROOT = Path(__file__).resolve().parents[1]
CACHES = Path(tempfile.gettempdir(), "ftc-structure")
RECIPE = Path("recipes", "demo", "bbc-news.yaml")


def main() -> None:
    """Prints a table, a column a checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path, metavar="OTHER_CHECKOUT")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="its path inside each checkout")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    checkouts = [ROOT, *([args.other.resolve()] if args.other else [])]
    for checkout in checkouts:
        print(f"{checkout.name}: {_code(checkout)}, a warm plan loads {_modules(checkout, args.recipe)} modules of ftc")
    seconds: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
    for _ in range(args.rounds):
        for checkout in checkouts:
            seconds[checkout].append(run(_command(checkout / args.recipe), env=_environment(checkout)).cpu)
    medians = [sorted(seconds[checkout])[args.rounds // 2] for checkout in checkouts]
    print(f"a warm plan: {' beside '.join(f'{median:.2f}' for median in medians)} CPU s", end="")
    print(f", {medians[0] / medians[1]:.2f} of the other" if args.other else "")


def _sources(checkout: Path) -> Iterator[Path]:
    for part in ("spec", "compiler", "runtime", "src/ftc"):
        for folder, folders, names in os.walk(checkout / part):
            folders[:] = [name for name in folders if not (Path(folder) / name).is_symlink()]
            yield from (Path(folder) / name for name in names if name.endswith(".py"))


def _code(checkout: Path) -> str:
    lines = imports = functions = once = files = 0
    for path in _sources(checkout):
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        files, lines = files + 1, lines + text.count("\n")
        names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        uses = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        uses.update(node.attr for node in nodes if isinstance(node, ast.Attribute))
        functions += len(names)
        once += sum(name.startswith("_") and not name.startswith("__") and uses[name] == 1 for name in set(names))
        found = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
        imports += sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in found)
    shares = f"{100 * once / functions:.0f} % of {functions:,} functions private and used once"
    return f"{files} files, {lines:,} lines, {shares}, {100 * imports / lines:.1f} % of lines import"


def _command(recipe: Path, *flags: str) -> list[str | Path]:
    return [sys.executable, *flags, "-m", "ftc", "plan", "--no-trace", "--offline", recipe]


def _environment(checkout: Path) -> dict[str, str]:
    """With byte code, as an installed ftc has it, and a cache of its own: another release's entries are made again."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cache = str(CACHES / hashlib.sha256(str(checkout).encode()).hexdigest()[:12])
    return {**kept, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1", "FTC_CACHE": cache}


def _modules(checkout: Path, recipe: Path) -> int:
    """Modules of ftc that a second plan loads; the first fills the caches."""
    for _ in range(2):
        command = _command(checkout / recipe, "-X", "importtime")
        done = subprocess.run(command, env=_environment(checkout), capture_output=True, text=True, check=True)
    return sum(line.rpartition("|")[2].strip().partition(".")[0] == "ftc" for line in done.stderr.splitlines())


if __name__ == "__main__":
    main()
