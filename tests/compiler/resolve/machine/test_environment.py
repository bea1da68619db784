"""Packages are known by what is in them, whoever installed them."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftc.compiler.resolve.machine import environment
from ftc.compiler.resolve.machine.environment import record_digest, resolve_environment
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.facts import EnvironmentFacts

WHEEL = "a/__init__.py,sha256=AAA,10\na/b.py,sha256=BBB,20\na-1.dist-info/METADATA,sha256=CCC,30\n"
BY_PIP = WHEEL + (
    "a/__pycache__/b.cpython-311.pyc,,\n../../../bin/a,sha256=ZZZ,9\na-1.dist-info/INSTALLER,sha256=DDD,4\n"
    "a-1.dist-info/REQUESTED,sha256=EEE,0\na-1.dist-info/RECORD,,\n"
)
BY_UV = (
    "a-1.dist-info/RECORD,,\na-1.dist-info/uv_cache.json,sha256=FFF,2\na-1.dist-info/INSTALLER,sha256=GGG,2\n" + WHEEL
)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    remembered = environment._facts
    remembered.cache_clear()
    yield
    remembered.cache_clear()


def test_installers_agree() -> None:
    assert record_digest(BY_PIP) == record_digest(BY_UV) == record_digest(WHEEL)


@pytest.mark.parametrize(
    "other", [WHEEL.replace("BBB", "XXX"), WHEEL.replace("a/b.py", "a/c.py"), WHEEL + "a/d.py,sha256=HHH,1\n"]
)
def test_other_content_gives_another_digest(other: str) -> None:
    assert record_digest(other) != record_digest(WHEEL)


def test_facts_of_this_environment(tmp_path: Path) -> None:
    facts = resolve_environment(tmp_path)
    assert facts.packages["pydantic"].version == importlib.metadata.version("pydantic")
    assert {"tokenizers", "ruamel-yaml", "typing-extensions"} <= set(facts.packages)
    assert "ftc" not in facts.packages
    assert "pytest" not in facts.packages
    assert facts.missing == tuple(sorted(facts.missing))
    assert facts.platform.count("-") == 2


def test_an_extra_that_brings_another_one_isnt_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["ftc[report]; extra == 'train'", "no-such-package; extra == 'train'", "unneeded; extra == 'report'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asked)
    assert resolve_environment(tmp_path).missing == ("no-such-package",)


def test_a_second_call_reads_the_remembered_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve_environment(tmp_path)
    monkeypatch.setattr(environment, "_facts", lambda *_: pytest.fail("worked out again"))
    assert resolve_environment(tmp_path) == first


def test_a_changed_package_or_a_damaged_answer_is_worked_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "a-1.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(WHEEL)
    monkeypatch.setattr(sys, "path", [str(site)])
    made: list[int] = []
    empty = EnvironmentFacts(python="3.11.0", platform="x", packages={})

    def make(*_: object) -> EnvironmentFacts:
        made.append(1)
        return empty

    monkeypatch.setattr(environment, "_facts", make)
    cache = tmp_path / "cache"
    resolve_environment(cache)
    resolve_environment(cache)
    assert len(made) == 1
    (info / "RECORD").write_text(WHEEL + "more,,\n")
    resolve_environment(cache)
    assert len(made) == 2
    for file in cache.iterdir():
        file.write_bytes(b"{")
    resolve_environment(cache)
    assert len(made) == 3


def _install(site: Path, name: str, requires: tuple[str, ...] = (), record: str | None = WHEEL, url: str = "") -> None:
    info = site / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if record is not None:
        (info / "RECORD").write_text(record)
    if url:
        (info / "direct_url.json").write_text(url)


def test_the_closure_follows_extras_and_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    own = (
        "alpha[fast]",
        "Gone; extra == 'train'",
        "Beta.Two; extra == 'train'",
        "tests; extra == 'test'",
        "eyes; extra == 'pii'",
    )
    _install(site, "ftc", own)
    _install(site, "alpha", ("quick; extra == 'fast'", "never; python_version < '3'", "slow; extra == 'slow'"))
    _install(site, "beta-two", ("alpha", "ftc"), url='{"dir_info": {"editable": true}}')
    _install(site, "quick", record=None)
    for name in ("tests", "never", "slow", "eyes"):
        _install(site, name)
    monkeypatch.setattr(sys, "path", [str(site)])
    facts = resolve_environment(tmp_path / "cache")
    assert set(facts.packages) == {"alpha", "beta-two", "quick"}
    assert facts.missing == ("gone",)
    assert facts.unverified == ("beta-two", "quick")
    more = resolve_environment(tmp_path / "cache", frozenset(("pii",)))
    assert set(more.packages) == {*facts.packages, "eyes"}, "a recipe that asks for an extra rests on its packages"
    assert more.missing == facts.missing


def test_without_package_data_it_says_how_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(Refusal, match="FTC601"):
        resolve_environment(tmp_path / "cache")
