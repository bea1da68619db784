"""Measures what a user waits for before anything has begun: `ftc --help`, `ftc validate` and a warm `ftc plan`.

Each stands beside an interpreter that does the least of the same kind. For `--help` that is nothing. For `validate`
it is importing ruamel.yaml and pydantic, of which there is no one meaning, because pydantic loads itself piece by
piece: `BaseModel` alone, `BaseModel` and `Field`, and a model of one field that was used once. Fresh processes in
turns, medians, start and end of the interpreter included.

    python benchmarks/start_up.py [RECIPE] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from support.processes import Command, Cost, alternate, machine, median, run
from support.project import copy_project

RECIPE = Path(__file__).parent.parent / "recipes" / "demo" / "newsdesk.yaml"
HEAVY = ("accelerate", "bitsandbytes", "datasets", "peft", "sklearn", "torch", "transformers")
FTC = Path(sys.executable).with_name("ftc")

BASE_MODEL = "from pydantic import BaseModel; import ruamel.yaml"
WITH_FIELD = "from pydantic import BaseModel, Field; import ruamel.yaml"
ONE_MODEL = """
from pydantic import BaseModel, Field
import ruamel.yaml
class Model(BaseModel):
    rank: int = Field(ge=1)
Model(rank=1)
"""
LOADED = f"""
import atexit, json, sys
atexit.register(lambda: print("loaded:" + json.dumps([m for m in {HEAVY!r} if m in sys.modules])))
from ftc.cli.main import console
console()
"""


def commands(recipe: Path) -> dict[str, Command]:
    """What is measured, by name."""
    return {
        "bare interpreter": [sys.executable, "-c", "pass"],
        "ftc --help": [FTC, "--help"],
        "import BaseModel": [sys.executable, "-c", BASE_MODEL],
        "import BaseModel, Field": [sys.executable, "-c", WITH_FIELD],
        "use a model of one field": [sys.executable, "-c", ONE_MODEL],
        "ftc validate": [FTC, "validate", recipe],
        "ftc plan, warm": [FTC, "plan", recipe],
    }


def heavy_modules(recipe: Path, env: Mapping[str, str]) -> dict[str, list[str]]:
    """Libraries of the training stack that each verb has loaded by its end."""
    found = {}
    for verb in (["--help"], ["validate", str(recipe)], ["plan", str(recipe)]):
        command = [sys.executable, "-c", LOADED, *verb]
        out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env}).stdout
        found[verb[0]] = json.loads(out.rpartition("loaded:")[2])
    return found


def report(medians: Mapping[str, Cost]) -> None:
    """Prints the table and the ratios."""
    for name, cost in medians.items():
        print(f"{name:30}{cost.cpu:7.3f} CPU s{cost.wall:8.3f} s")
    cpu = {name: cost.cpu for name, cost in medians.items()}
    print(f"--help:   {cpu['ftc --help'] / cpu['bare interpreter']:.2f} of a bare interpreter")
    for floor in ("import BaseModel", "import BaseModel, Field", "use a model of one field"):
        print(f"validate: {cpu['ftc validate'] / cpu[floor]:.2f} of `{floor}`")


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?", default=RECIPE)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON Lines to which the medians are added")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = copy_project(Path(folder) / "project", arguments.recipe)
        env = {"FTC_CACHE": str(Path(folder) / "cache")}
        print(f"{machine()}; {arguments.repeats} rounds")
        cold = run([FTC, "plan", recipe], env=env)
        print(f"{'ftc plan, cold':30}{cold.cpu:7.3f} CPU s{cold.wall:8.3f} s, once")
        costs = alternate(commands(recipe), arguments.repeats, env=env)
        medians = {name: median(found) for name, found in costs.items()}
        report(medians)
        if arguments.out:
            found = {name: {"cpu": round(cost.cpu, 4), "wall": round(cost.wall, 4)} for name, cost in medians.items()}
            line = {"machine": machine(), "python": platform.python_version(), "rounds": arguments.repeats, **found}
            with arguments.out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
        for verb, loaded in heavy_modules(recipe, env).items():
            print(f"{verb} loads of the training stack: {', '.join(loaded) or 'nothing'}")


if __name__ == "__main__":
    main()
