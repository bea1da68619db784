"""Measures how long a misspelt key takes to be reported: ftc beside the tools that install here.

Each gets the same job, a rank-8 adapter on sixteen conversations, with `learning_rat` in place of `learning_rate`,
through the command that its users type. Processes run from start to exit, in turns, one BLAS thread; a first round,
which compiles modules and fills the file system's cache, is not counted. A tool that runs on in spite of the typo is
listed and not compared with; that it reports is read off its output, which has to name the misspelt or the missing key.

    python benchmarks/typo.py [FOLDER]

FOLDER keeps the tools' environments, several GiB; without, they lie in the user's cache folder.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import platformdirs
from support.peers import PEERS, install, quiet_environment, version_of, write_rows
from support.processes import ONE_THREAD, Command, Cost, attempt, machine, median
from support.project import MODEL

FTC = Path(sys.executable).with_name("ftc")
RECIPE = """ftc: 1
name: typo
task: {{kind: chat}}
data: {{source: {{path: rows.jsonl}}}}
model: {{base: {model}}}
strategy: {{kind: lora, rank: 8, targets: [q_proj, v_proj]}}
train:
  batch_size: 4
  learning_rate: 1.0e-4
  max_steps: 1
"""
LONGEST_RUN = 600.0
"""Seconds after which a tool that goes on is stopped."""


def misspelt(config: str) -> str:
    """A configuration with the typo."""
    assert config.count("learning_rate:") == 1
    return config.replace("learning_rate:", "learning_rat:")


def reports(output: str) -> bool:
    """Whether an output names the misspelt key, or says that the right one is missing."""
    return bool(re.search(r"learning_rat\b", output) or re.search(r"learning_rate\s+Field required", output))


def prepare(folder: Path, environments: Path, model: Path) -> dict[str, tuple[Command, dict[str, str]]]:
    """What is run, with its environment, by the name and version of each tool."""
    write_rows(folder)
    recipe = folder / "recipe.yaml"
    recipe.write_text(misspelt(RECIPE.format(model=model)), encoding="utf-8")
    found: dict[str, tuple[Command, dict[str, str]]] = {"ftc": ([FTC, "validate", recipe], {})}
    for peer in PEERS:
        programs = install(peer, environments)
        config = folder / f"{peer.name}.yaml"
        config.write_text(misspelt(peer.config.format(model=model, data=folder)), encoding="utf-8")
        program, *words = peer.command
        name = f"{peer.name} {version_of(peer, programs)}"
        found[name] = ([programs / program, *words, config], quiet_environment(programs))
    return found


def main() -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(platformdirs.user_cache_dir("ftc-benchmarks", appauthor=False))
    parser.add_argument("folder", type=Path, nargs="?", default=cache / "peers")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of a model; only its name is read by most")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {}
    silent: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        commands = prepare(Path(folder), arguments.folder.resolve(), arguments.model.resolve())
        print(f"{machine()}; {arguments.repeats} rounds", flush=True)
        for turn in range(arguments.repeats + 1):
            for name, (command, env) in commands.items():
                cost, code, output = attempt(
                    command, folder=Path(folder), env={**ONE_THREAD, **env}, timeout=LONGEST_RUN
                )
                print(f"round {turn}: {name:24}{cost.cpu:8.2f} CPU s{cost.wall:8.2f} s, exit code {code}", flush=True)
                if not code or not reports(output):
                    silent.add(name)
                if turn:
                    costs.setdefault(name, []).append(cost)
    report({name: median(found) for name, found in costs.items()}, silent)


def report(medians: dict[str, Cost], silent: set[str]) -> None:
    """Prints the table, and the ratio to the fastest tool that reports the typo."""
    for name, cost in medians.items():
        note = "does not report it" if name in silent else f"{cost.cpu / medians['ftc'].cpu:.0f} of ftc's CPU seconds"
        print(f"{name:24}{cost.cpu:8.2f} CPU s{cost.wall:8.2f} s   {note}")
    compared = {name: cost for name, cost in medians.items() if name != "ftc" and name not in silent}
    assert "ftc" not in silent
    fastest = min(compared, key=lambda name: compared[name].cpu)
    ratio = compared[fastest].cpu / medians["ftc"].cpu, compared[fastest].wall / medians["ftc"].wall
    print(f"ftc is {ratio[0]:.0f} times faster than {fastest} by CPU seconds, {ratio[1]:.0f} by wall seconds")


if __name__ == "__main__":
    main()
