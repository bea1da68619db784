"""Completion scripts: what a real bash offers, and that scripts for all shells name everything that parsers have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ftc.cli.completion import SHELLS, lines
from ftc.cli.main import main
from ftc.cli.verbs import VERBS

Capture = pytest.CaptureFixture[str]

BASH = shutil.which("bash")
ASK = """\
source ./ftc.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_ftc
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A working folder with recipes, a plan, rows and a run; `ftc.bash` is the script."""
    monkeypatch.chdir(tmp_path)
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        (tmp_path / f"ftc.{shell}").write_text(capsys.readouterr().out, encoding="utf-8")
    for name in ("tickets.yaml", "two words.yml"):
        (tmp_path / name).write_text("ftc: 1\n", encoding="utf-8")
    (tmp_path / "docker-compose.yaml").write_text("services: {}\n", encoding="utf-8")
    (tmp_path / "tickets.plan.json").write_text("{}", encoding="utf-8")
    (tmp_path / "data").mkdir()
    run = tmp_path / "runs/tickets/3f2a91c0d7e4"
    run.mkdir(parents=True)
    (run / "record.json").write_text("{}", encoding="utf-8")
    return tmp_path


def offered(*words: str) -> list[str]:
    """What bash offers for the last word."""
    assert BASH is not None
    done = subprocess.run([BASH, "-c", ASK, "bash", "ftc", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.skipif(BASH is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("words", "some"),
    [
        (["pl"], ["plan"]),
        (["--color", "always", "pl"], ["plan"]),
        (["run", "comp"], ["compare"]),
        (["run", "compare", "--form"], ["--format"]),
        (["run", "compare", "--format", ""], ["text", "json", "markdown", "html"]),
        (["run", "compare", "--format", "=", "ht"], ["html"]),
        (["run", "compare", "3f2a", ""], ["3f2a91c0d7e4"]),
        (["plan", ""], ["tickets.yaml", "two words.yml", "data", "runs"]),
        (["apply", "t"], ["tickets.yaml", "two words.yml", "tickets.plan.json"]),
        (["plan", "--det"], ["--detailed-exitcode"]),
        (["plan", "-o", "tickets.p"], ["tickets.plan.json"]),
        (["run", "merge", "3f2a", "-o", ""], ["data", "runs"]),
        (["explain", "FTC603"], ["FTC603"]),
        (["device", "show", "rtx-409"], ["rtx-4090"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["init", "--task", "cl"], ["classification"]),
        (["show", "3"], ["3f2a91c0d7e4"]),
        (["help", "comp"], ["completion"]),
        (["lock", "--che"], []),
    ],
)
def test_what_bash_offers(project: Path, words: list[str], some: list[str]) -> None:
    assert sorted(offered(*words)) == sorted(some)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_sound_and_names_everything(project: Path, shell: str) -> None:
    text = (project / f"ftc.{shell}").read_text(encoding="utf-8")
    assert "@" not in text.replace("@)", "").replace("[@]", "").replace("$@", "").replace("(@", ""), "no gap is left"
    for verb in VERBS:
        assert verb in text
    for line in lines():
        for flag in line.flags:
            long = next((name for name in flag.names if name.startswith("--")), flag.names[0])
            assert long.lstrip("-") in text
    if program := shutil.which(shell):
        subprocess.run([program, "-n", f"ftc.{shell}"], check=True, cwd=project)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not here")
def test_zsh_takes_the_script(project: Path) -> None:
    code = "autoload -U compinit && compinit -u -D && source ./ftc.zsh && print -r -- $_comps[ftc]"
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=True, cwd=project)
    assert (done.stdout.strip(), done.stderr) == ("_ftc", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("ftc pl", ["plan"]),
        ("ftc run comp", ["compare"]),
        ("ftc run compare --format ht", ["html"]),
        ("ftc show 3f", ["3f2a91c0d7e4"]),
        ("ftc plan tick", ["tickets.yaml"]),
        ("ftc plan --detailed", ["--detailed-exitcode"]),
    ],
)
def test_what_fish_offers(project: Path, line: str, some: list[str]) -> None:
    code = f"source ftc.fish; complete -C {line!r}"
    done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, cwd=project)
    assert done.stderr == ""
    assert [one.partition("\t")[0] for one in done.stdout.splitlines()] == some
