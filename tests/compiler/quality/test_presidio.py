"""Personal data by presidio's patterns: counted by its own kinds, without a network, and pinned by the lock."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftc import api
from ftc.compiler.quality.sensitive import _noted
from ftc.spec.diagnostics import Refusal
from ftc.spec.sections.data import PresidioRules
from tests.diagnostics.worlds import write_plain_model

RECIPE = """
ftc: 1
name: tiny
task: {kind: classification}
data:
  source: {path: people.csv}
  split: {validation: 0, test: 0}
  quality: {personal: %s, presidio: {countries: [%s]}}
model: {base: ./model}
strategy: {kind: lora}
"""
FILLING = tuple(f"{word} number {number}" for number in range(10) for word in ("cold", "warm"))
PEOPLE = {
    "mail to ann@mail.co.uk now": {"e-mail addresses", "presidio's EMAIL_ADDRESS"},
    "mail to ann@nowhere.invalidsuffix now": {"e-mail addresses"},
    "pay with 4111 1111 1111 1111 now": {"credit card numbers", "presidio's CREDIT_CARD"},
    "from 192.168.17.4 and 2001:db8::1 now": {"presidio's IP_ADDRESS"},
    "on a machine 00:1a:2b:3c:4d:5e now": {"presidio's MAC_ADDRESS"},
    "born with 536-90-4399 over there": {"presidio's US_SSN"},
    "see https://example.org on 3 May 2024": set(),
}
needs_presidio = pytest.mark.skipif(find_spec("presidio_analyzer") is None, reason="pip install 'ftc[pii]'")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ftc").mkdir()
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_plain_model(tmp_path / "model")
    rows = [f"{text},{text.split()[0] == 'cold'}" for text in (*FILLING, *PEOPLE)]
    (tmp_path / "people.csv").write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE % ("report", "us"), encoding="utf-8")
    return file


def test_without_the_package_the_extra_is_named(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftc.compiler.resolve.machine.environment.find_spec", lambda name: None)
    with pytest.raises(Refusal) as caught:
        api.plan(recipe, offline=True)
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("FTC650", ("`pip install 'ftc[pii]'` installs what `presidio` needs",))
    assert found.span is not None
    assert (found.span.line, caught.value.exit_code) == (8, 1)


def test_a_later_plan_of_the_process_hears_of_patterns_that_were_given_up() -> None:
    log = logging.getLogger("presidio-analyzer")
    first, second = _noted(), _noted()
    log.warning("Regex timed out")
    log.removeFilter(second)
    assert (first.happened, second.happened) == (False, True)


@needs_presidio
def test_each_kind_is_counted_where_it_stands(recipe: Path) -> None:
    planned = api.plan(recipe, offline=True)
    quality = planned.plan.quality
    lines = dict(enumerate(PEOPLE, len(FILLING) + 2))
    found = {(one.rule, sample.place) for one in quality.findings if one.kind == "personal" for sample in one.samples}
    assert found == {(rule, f"people.csv:{line}") for line, text in lines.items() for rule in PEOPLE[text]}
    assert quality.rows_by_kind["personal"] == 6, "a row counts once, whoever finds something in it"
    assert all(sample.shown == "" for one in quality.findings if one.kind == "personal" for sample in one.samples)
    version = importlib.metadata.version("presidio-analyzer")
    assert quality.presidio is not None
    assert quality.presidio.version == version
    assert {"US_SSN", "PHONE_NUMBER"} <= set(quality.presidio.kinds)
    assert any("names and addresses" in reason for reason in planned.plan.not_checked)
    (here,) = planned.plan.lock.platforms.values()
    assert here.packages["presidio-analyzer"].version == version


@needs_presidio
def test_what_a_recipe_does_not_ask_for_is_not_pinned(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace(", presidio: {countries: [us]}", ""), encoding="utf-8")
    plan = api.plan(recipe, offline=True).plan
    (here,) = plan.lock.platforms.values()
    assert "presidio-analyzer" not in here.packages
    assert plan.quality.presidio is None


@needs_presidio
def test_its_finds_are_refused_and_an_unknown_country_is_pointed_at(recipe: Path) -> None:
    recipe.write_text(RECIPE % ("refuse", "us"), encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        api.plan(recipe, offline=True)
    (found,) = caught.value.diagnostics
    assert found.code == "FTC386"
    assert any("presidio's EMAIL_ADDRESS" in note for note in found.notes)
    recipe.write_text(RECIPE % ("report", "us, ug"), encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        api.plan(recipe, offline=True)
    (found,) = caught.value.diagnostics
    assert (found.code, found.summary) == ("FTC382", "presidio has no patterns for the country `ug`")
    assert found.span is not None
    assert RECIPE.splitlines()[found.span.line - 1].strip().startswith("quality")


@needs_presidio
def test_nothing_is_fetched_and_nothing_is_written_outside_the_cache(recipe: Path, tmp_path: Path) -> None:
    guarded = Path(__file__).parents[2] / "security" / "guarded.py"
    home = tmp_path / "home"
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("TLDEXTRACT_CACHE", None)
    found = subprocess.run(
        [sys.executable, guarded, str(recipe)], env=environment, capture_output=True, text=True, check=True
    )
    seen = json.loads(found.stdout)
    assert seen["outcomes"] == [["planned"]]
    reached_out = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"}
    assert not [event for event in seen["events"] if event[0] in reached_out]
    assert not home.exists()


@needs_presidio
def test_a_pattern_that_is_given_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from ftc.compiler.quality.sensitive import load_presidio

    presidio = load_presidio(PresidioRules())
    assert list(presidio.matching("a." * 100)) == []
    assert len(list(presidio.not_checked())) == 1
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 1e-6)
    assert list(presidio.matching("a." * 200_000)) == []
    assert any("stopped a pattern" in reason for reason in presidio.not_checked())
