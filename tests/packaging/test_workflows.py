"""The workflow and the hooks that people copy keep the promises of docs/ci.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ftc.cli.verbs import VERBS
from ftc.spec.version import VERSION

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "docs" / "github-action.yml")
HOOKS: list[dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / ".pre-commit-hooks.yaml")
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
EXPRESSIONS = {"github.event.pull_request.number", "github.token"}


def steps() -> Iterator[dict[str, Any]]:
    for job in WORKFLOW["jobs"].values():
        yield from job["steps"]


def test_a_pull_request_is_planned_without_the_rights_of_the_repository() -> None:
    assert list(WORKFLOW["on"]) == ["pull_request"]
    assert WORKFLOW["permissions"] == {}
    permissions = {name: job["permissions"] for name, job in WORKFLOW["jobs"].items()}
    assert permissions == {"plan": {"contents": "read"}, "comment": {"pull-requests": "write"}}


def test_no_secret_is_named_and_no_cache_is_shared() -> None:
    text = (ROOT / "docs" / "github-action.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "cache" not in text


def test_actions_are_pinned_and_the_checkout_keeps_no_token() -> None:
    used = [step for step in steps() if "uses" in step]
    assert all(PINNED.fullmatch(step["uses"]) for step in used)
    checkouts = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_of_the_event_is_pasted_into_a_script() -> None:
    scripts = [step["run"] for step in steps() if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)
    values = [value for step in steps() for value in step.get("env", {}).values()]
    assert {match[1].strip() for value in values for match in re.finditer(r"\$\{\{(.*?)\}\}", value)} <= EXPRESSIONS


def test_the_job_that_may_comment_runs_nothing_of_the_pull_request() -> None:
    assert not any("checkout" in step.get("uses", "") for step in WORKFLOW["jobs"]["comment"]["steps"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("git"), reason="the script needs bash and git")
def test_the_script_plans_what_has_a_lock_and_names_are_only_names(tmp_path: Path) -> None:
    script = next(step["run"] for step in WORKFLOW["jobs"]["plan"]["steps"] if step.get("name") == "Plan")
    project, out = tmp_path / "project", tmp_path / "out"
    for folder in (project / "recipes" / "a b", out):
        folder.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", project], check=True)
    for name in ("a b/one", "$(touch fired)", "-x; touch fired"):
        (project / "recipes" / f"{name}.yaml").write_text("ftc: 1\n```\n", encoding="utf-8")
        (project / "recipes" / f"{name}.lock.json").write_text("{}", encoding="utf-8")
    (project / "recipes" / "unlocked.yaml").write_text("ftc: 1\n", encoding="utf-8")
    subprocess.run(["git", "-C", project, "add", "--all"], check=True)
    (tmp_path / "ftc").write_text(f'#!/bin/sh\nexec {sys.executable} -m ftc "$@"\n', encoding="utf-8")
    (tmp_path / "ftc").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RUNNER_TEMP": str(out)}
    env["GITHUB_STEP_SUMMARY"] = str(out / "summary.md")
    child = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=project, env=env, check=False)
    assert child.returncode == 3
    comment = (out / "ftc" / "comment.md").read_text(encoding="utf-8")
    assert [line.strip() for line in comment.splitlines() if line.startswith("    recipes/")] == [
        "recipes/$(touch fired).yaml",
        "recipes/-x; touch fired.yaml",
        "recipes/a b/one.yaml",
    ]
    assert "unlocked" not in comment
    assert all(line.startswith("    ") for line in comment.splitlines())
    assert not list(tmp_path.rglob("fired"))


@pytest.mark.skipif(not shutil.which("bash"), reason="the script needs bash")
def test_without_a_word_on_what_to_install_it_stops_and_says_so() -> None:
    script = next(step["run"] for step in WORKFLOW["jobs"]["plan"]["steps"] if step.get("name") == "Install")
    env = {**os.environ, "FTC": WORKFLOW["env"]["FTC"]}
    child = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], env=env, check=False, capture_output=True, text=True
    )
    assert child.returncode == 1
    assert "set FTC in this workflow" in child.stdout


def test_the_version_that_is_named_is_this_one() -> None:
    texts = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("ci.md", "github-action.yml")]
    assert {version for text in texts for version in re.findall(r"ftc==([\d.]+)", text)} == {VERSION}


def test_hooks_to_copy_are_those_that_are_shipped() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"```yaml\n(# \.pre-commit-config\.yaml\n.*?)```", text, re.DOTALL)
    (repository,) = YAML(typ="safe", pure=True).load(config)["repos"]
    shipped = {hook["id"]: hook for hook in HOOKS}
    assert repository["repo"] == "local"
    assert {hook["id"] for hook in repository["hooks"]} == set(shipped)
    for hook in repository["hooks"]:
        assert all(hook[key] == shipped[hook["id"]][key] for key in ("name", "entry", "types", "files"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_a_verb(hook: dict[str, Any]) -> None:
    program, verb, *_ = shlex.split(hook["entry"])
    assert program == "ftc"
    assert verb in VERBS
    assert hook["id"] == f"ftc-{verb}"
    assert re.search(hook["files"], "recipes/demo/newsdesk.yaml")
    assert hook["language"] == "python"


OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_our_own_workflows_are_pinned_and_have_no_more_rights_than_they_need(path: Path) -> None:
    workflow: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    jobs = workflow["jobs"].values()
    used = [step for job in jobs for step in job["steps"] if "uses" in step]
    assert used
    assert all(PINNED.fullmatch(step["uses"]) for step in used)
    assert all(step["with"]["persist-credentials"] is False for step in used if "/checkout@" in step["uses"])
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in path.read_text(encoding="utf-8"), "publishing is trusted, and needs no stored token"


def test_the_tests_run_on_every_python_that_the_project_supports() -> None:
    workflow: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / ".github" / "workflows" / "tests.yml")
    matrix = workflow["jobs"]["light"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}


def test_issue_forms_ask_for_the_versions() -> None:
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem in ("bug", "figure")]
    assert len(forms) == 2
    assert all("`ftc --version --json`" in path.read_text(encoding="utf-8") for path in forms)


def test_the_image_begins_with_a_digest_and_runs_without_rights() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert re.search(r"^USER ftc$", text, re.MULTILINE)


def test_an_image_gets_the_packages_that_a_lock_pins(tmp_path: Path) -> None:
    lock = ROOT / "recipes" / "demo" / "bbc-news.lock.json"
    tag = next(iter(json.loads(lock.read_text(encoding="utf-8"))["platforms"]))
    script = str(ROOT / "docs" / "constraints.py")

    def constraints(*locks: Path) -> subprocess.CompletedProcess[str]:
        preset = f"import sysconfig, sys, runpy; sysconfig.get_platform = lambda: {tag.rpartition('-')[0]!r}; "
        preset += f"sys.argv = {[script, *map(str, locks)]!r}; runpy.run_path({script!r}, run_name='__main__')"
        return subprocess.run([sys.executable, "-c", preset], capture_output=True, text=True, check=False)

    found = constraints(lock)
    assert found.returncode == 0, found.stderr
    assert re.search(r"^torch==[\d.]+$", found.stdout, re.MULTILINE), "whatever build of it the lock's machine had"
    assert not constraints().stdout
    other = tmp_path / "other.lock.json"
    changed = json.loads(lock.read_text(encoding="utf-8"))
    changed["platforms"][tag]["packages"]["torch"]["version"] = "1.0"
    other.write_text(json.dumps(changed), encoding="utf-8")
    refused = constraints(lock, other)
    assert refused.returncode == 1
    assert "torch is" in refused.stderr
