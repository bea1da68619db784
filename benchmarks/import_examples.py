"""Imports every configuration under a folder, such as the examples in a checkout of another tool, and counts.

    python benchmarks/import_examples.py CHECKOUT [--from TOOL] [--data rows.jsonl --task chat] [--list]

Every file ends in a recipe that validates, in reasons, or is refused as no tool's configuration; anything else is a
bug. Exits with 1 if there is one. The share of recipes is of configurations that train; those that answer, evaluate,
merge or quantize are counted apart.

With `--commands` the command lines in fenced blocks of Markdown and Python files are imported, as TRL's documentation
and the heads of its scripts have them.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from ftc import api
from ftc.compiler.importers.translation import NO_TRAINING
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.imported import Fate, Imported

SUFFIXES = (".yaml", ".yml", ".json")
_FENCED = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^ *(?:python3?|accelerate launch|torchrun|uv run|trl) (?:.*\\\n)*.*$", re.MULTILINE)
_TRAINS = re.compile(r"--(model|dataset)")
"""What a command line that trains has among its options."""


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        return _counted(_files(args, Path(scratch)), args)


def _files(args: argparse.Namespace, scratch: Path) -> list[Path]:
    """The configurations of a folder, or a file for each of its command lines."""
    if not args.commands:
        return sorted(path for path in Path(args.folder).rglob("*") if path.suffix in SUFFIXES and path.is_file())
    found: list[Path] = []
    for file in sorted(path for path in Path(args.folder).rglob("*") if path.suffix in (".md", ".py")):
        for block in _FENCED.findall(file.read_text(encoding="utf-8", errors="replace")):
            for match in _COMMAND.finditer(block):
                if _TRAINS.search(match[0]):
                    found.append(scratch / f"{len(found):03}-{file.stem}.sh")
                    found[-1].write_text(match[0] + "\n", encoding="utf-8")
    return found


def _counted(files: list[Path], args: argparse.Namespace) -> int:
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    fates: Counter[Fate] = Counter()
    bugs = []
    started = time.perf_counter()
    for file in files:
        outcome, imported = _import(file, args)
        outcomes[outcome] += 1
        if outcome.startswith("bug"):
            bugs.append((file, outcome))
        if imported and any(reason.summary == NO_TRAINING for reason in imported.reasons):
            outcomes["reasons"] -= 1
            outcomes["trains nothing"] += 1
        if imported:
            reasons.update(re.sub("`[^`]*`", "…", reason.summary) for reason in imported.reasons)
            fates.update(key.fate for key in imported.keys)
        if args.list:
            print(f"{outcome:<24}{file}")
    print(f"{len(files)} files in {time.perf_counter() - started:.1f} s")
    if trained := outcomes["recipe"] + outcomes["reasons"]:
        made = outcomes["recipe"]
        print(f"{made} of {trained} training configurations become recipes: {made / trained:.1%}")
    for title, counter in (("outcome", outcomes), ("reason", reasons), ("fate of keys", fates)):
        print(f"\n{title}")
        for name, count in counter.most_common():
            print(f"  {count:>6}  {name}")
    for file, outcome in bugs:
        print(f"{outcome}: {file}")
    return 1 if bugs else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--from", dest="tool")
    parser.add_argument("--task", choices=("generation", "chat", "preference", "pretraining"))
    parser.add_argument("--data")
    parser.add_argument("--hub-file")
    parser.add_argument("--base")
    parser.add_argument("--commands", action="store_true", help="import command lines in place of files")
    parser.add_argument("--list", action="store_true", help="print the outcome of every file")
    return parser.parse_args()


def _import(file: Path, args: argparse.Namespace) -> tuple[str, Imported | None]:
    """The outcome of one file, in words."""
    given = {"tool": args.tool, "task": args.task, "data": args.data, "hub_file": args.hub_file, "base": args.base}
    try:
        imported = api.import_recipe(file, **given)
    except Refusal as refusal:
        return f"refused {refusal.diagnostics[0].code}", None
    except Exception as error:  # noqa: BLE001  # what this script is there to find
        return f"bug: {type(error).__name__}: {error}", None
    if imported.recipe is None:
        return "reasons" if imported.reasons else "bug: neither recipe nor reason", imported
    return ("recipe" if _validates(imported.recipe) else "bug: invalid recipe"), imported


def _validates(text: str) -> bool:
    from ftc.compiler.rules.check import check_recipe

    return check_recipe(text.encode(), "recipe.yaml").recipe is not None


if __name__ == "__main__":
    raise SystemExit(main())
