"""Makes the two pictures of the README: `python docs/images/make.py`. Needs chromium and the demo's model.

A project like that of the README's quick start is made in a temporary folder, planned and trained for real; plan.svg is
what `ftc plan` prints there, report.png the beginning of the run's report. The name of this machine's CPU is replaced.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from ftc.compiler.resolve.machine.local import cpu_label  # noqa: E402
from tests.support.tickets import tickets_csv  # noqa: E402

__all__ = ["main"]

FOLDER = Path(__file__).parent
WIDTH = 100
MODEL = ROOT / "recipes" / "demo" / "models" / "minilm"
RECIPE = """\
ftc: 1
name: tickets
task: {kind: classification}
data:
  source: {path: tickets.csv}
  fields: {text: Body, label: Queue}
  empty: drop
  labels: {normalize: [case, space]}
model: {base: models/minilm}
strategy: {kind: lora}
train: {epochs: 2}
"""


def main() -> int:
    """Makes both pictures; 1 where the model or chromium is missing."""
    parser = argparse.ArgumentParser(description="Make the pictures of the README.")
    parser.add_argument("--cpu", default="this CPU", help="what the pictures call this machine's CPU")
    label: str = parser.parse_args().cpu
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None or not MODEL.is_dir():
        print("needs chromium, and the demo's model: python recipes/demo/fetch.py")
        return 1
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        (project / "tickets.csv").write_bytes(tickets_csv(600))
        (project / "tickets.yaml").write_text(RECIPE, encoding="utf-8")
        shutil.copytree(MODEL, project / "models" / "minilm")
        _draw_plan(_ftc(project, "--color", "always", "plan", "--offline").replace(cpu_label(), label))
        _ftc(project, "apply", "--yes", "--offline")
        (report,) = project.glob("runs/*/*/report.html")
        report.write_text(report.read_text(encoding="utf-8").replace(cpu_label(), label), encoding="utf-8")
        _photograph(chromium, report)
    return 0


def _ftc(project: Path, *words: str) -> str:
    """What a verb prints; its warnings, on stderr, go to this terminal."""
    paths = os.pathsep.join((str(ROOT / "src"), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", "ftc", *words]
    return subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _draw_plan(printed: str) -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text("$ ftc plan\n").append_text(Text.from_ansi(printed.rstrip())))
    svg = console.export_svg(title="ftc plan", theme=MONOKAI, unique_id="plan")
    # The page fetches nothing: rich's font would come from a server, and any other of fixed width does as well.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = "".join(line.rstrip() + "\n" for line in svg.splitlines())
    (FOLDER / "plan.svg").write_text(svg, encoding="utf-8", newline="\n")


def _photograph(chromium: str, report: Path) -> None:
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1215"]
    picture = FOLDER / "report.png"
    subprocess.run([chromium, *flags, f"--screenshot={picture}", report.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    raise SystemExit(main())
