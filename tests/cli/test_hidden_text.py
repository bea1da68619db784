"""Text that an editor hides is named wherever a person typed it: recipe, labels, columns. It has a place and a fix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ftc.cli.main import main
from tests.support.bad_inputs import Case, check, recipe, rows

NBSP, ZERO, CYRILLIC_A = "\u00a0", "\u200b", "\u0430"
NO_BREAK = ("looks like a space and is none: U+00A0 NO-BREAK SPACE", "write a plain space")


def block(line: str) -> str:
    return recipe().replace("strategy: {kind: lora}\n", f"strategy:\n  kind: lora\ntrain:\n{line}\n  seed: 3\n")


def labeled(label: str) -> Case:
    lines = [f"text {n},{label if n % 2 else 'cold'}" for n in range(30)]
    return Case("", recipe(), "FTC369", (), 0, "plan", rows("rows.csv", "text,label", *lines))


CASES = {
    "behind a colon": Case("", block(f"  epochs:{NBSP}3"), "FTC011", ("recipe.yaml:9:10", *NO_BREAK)),
    "in an indent": Case("", block(f"{NBSP} epochs: 3"), "FTC011", ("recipe.yaml:9:1", *NO_BREAK)),
    "before a colon": Case("", block(f"  epochs{NBSP}: 3"), "FTC011", ("recipe.yaml:9:9", *NO_BREAK)),
    "behind a value": Case("", block(f"  epochs: 3{NBSP}"), "FTC011", ("recipe.yaml:9:12", *NO_BREAK)),
    "ideographic": Case("", block("  epochs:\u30003"), "FTC011", ("U+3000 IDEOGRAPHIC SPACE",)),
    "in prose": Case("", recipe(task=f"{{kind: generation, prompt: 'Qui{NBSP}? {{{{ text }}}}'}}"), "", (), 0),
    "a key": Case("", block(f"  ep{ZERO}ochs: 3"), "FTC011", ("recipe.yaml:9:5", "U+200B ZERO WIDTH SPACE")),
    "a key of two alphabets": Case("", block(f"  le{CYRILLIC_A}rning_rate: 1e-4"), "FTC010",
                                   ("U+0430 CYRILLIC SMALL LETTER A", "did you mean")),
    "label, no-break": replace(labeled(f"w{NBSP}arm"), words=("label `w\\u{a0}arm` holds U+00A0 NO-BREAK SPACE",
                                                              "in 15 rows", "rows.csv:3")),
    "label, zero width": replace(labeled(f"warm{ZERO}"), words=("holds U+200B ZERO WIDTH SPACE",)),
    "label, two alphabets": replace(labeled(f"w{CYRILLIC_A}rm"), words=("holds U+0430 CYRILLIC SMALL LETTER A",)),
    "label, right to left": replace(labeled("\u202ewarm"), words=("holds U+202E RIGHT-TO-LEFT OVERRIDE",)),
    "label in one alphabet": replace(labeled("\u0442\u0435\u043f\u043b\u043e \u03b1"), code="", words=()),
    "column": Case("", recipe(), "FTC362", ("no column `text`", "the name `te\\u{200b}xt` holds U+200B"), 3, "plan",
                   rows("rows.csv", f"te{ZERO}xt,label", *(f"text {n},{n % 2}" for n in range(30)))),
    "column that is not read": Case("", recipe(), "FTC369", ("the name of column", "U+00A0"), 0, "plan",
                                    rows("rows.csv", f"text,label,a{NBSP}b", *(f"t {n},{n % 2},x" for n in range(30)))),
    "an answer of nothing": Case("", recipe(task="{kind: generation}", data="{source: {path: rows.jsonl}}"), "FTC364",
                                 ("column `completion` is empty",), 3, "plan",
                                 rows("rows.jsonl", '{"prompt": "a", "completion": "\\u200b\\u200b\\ufeff"}')),
}  # fmt: skip


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", CASES)
def test_what_an_editor_hides_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check(CASES[name], tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["behind a colon", "in an indent", "before a colon", "behind a value", "ideographic"])
def test_a_space_that_is_none_is_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "recipe.yaml"
    file.write_text(CASES[name].text, encoding="utf-8")
    assert main(["validate", "--fix", "recipe.yaml"]) == 0
    fixed = file.read_text(encoding="utf-8")
    assert fixed.isascii()
    assert "epochs" in fixed
