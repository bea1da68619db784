"""Reading a recipe's text: values, places, and one finding for every fault."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftc.spec.codes import Code
from ftc.spec.codes import text as text_codes
from ftc.spec.diagnostics import Diagnostic, Span
from ftc.spec.language.source import LARGEST_FILE, Source, read_source, read_source_bytes, shown_lines

RECIPE = """\
ftc: 1
name: sms-spam   # the run
data:
  source:
    - {path: data/sms.csv, weight: 0.5}
    - path: data/more.csv
  fields: {text: message, label: class}
train:
  learning_rate: 2e-4
  notes: |
    two
    lines

  resume:
eval: {metrics: [accuracy, macro_f1]}
"""


def read(text: str) -> Source:
    source, findings = read_source(text, "r.yaml")
    assert source is not None, findings
    assert findings == ()
    return source


def faults(text: str) -> tuple[Diagnostic, ...]:
    source, findings = read_source(text, "r.yaml")
    assert source is None
    assert all(finding.is_error for finding in findings)
    return findings


def codes(text: str) -> list[str]:
    return [finding.code for finding in faults(text)]


def fault(text: str) -> Diagnostic:
    (finding,) = faults(text)
    return finding


def marked(text: str, span: Span) -> str:
    """The text under a span of one line."""
    assert span.line == span.end_line
    return text.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


# --- values


def test_a_recipe_becomes_plain_values() -> None:
    assert read(RECIPE).plain() == {
        "ftc": 1,
        "name": "sms-spam",
        "data": {
            "source": ({"path": "data/sms.csv", "weight": 0.5}, {"path": "data/more.csv"}),
            "fields": {"text": "message", "label": "class"},
        },
        "train": {"learning_rate": 2e-4, "notes": "two\nlines\n", "resume": None},
        "eval": {"metrics": ("accuracy", "macro_f1")},
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("", None), ("~", None), ("null", None), ("true", True), ("false", False), ("True", True)),
        *(("0", 0), ("17", 17), ("-3", -3), ("+4", 4), ("0123", 123), ("0x1F", 31), ("0o17", 15)),
        *(("1e-4", 1e-4), ("5e-5", 5e-5), ("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("-1E+3", -1000.0)),
        *((".inf", math.inf), ("-.inf", -math.inf), ("+.INF", math.inf)),
        *(("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO")),
        *(("1:30", "1:30"), ("1_000", "1_000"), ("2026-01-01", "2026-01-01"), ("24GiB", "24GiB"), ("0b11", "0b11")),
        *(("1e", "1e"), ("1.2.3", "1.2.3"), ("0o8", "0o8"), ("0x", "0x"), ("inf", "inf"), ("nan", "nan")),
        *(('"1"', "1"), ("'true'", "true"), ('""', ""), ("'null'", "null"), ('"\\n\\x01"', "\n\x01")),
        *(
            ('">= 0.95"', ">= 0.95"),
            ("a b # c", "a b"),
            ("x#y", "x#y"),
            ("[]", ()),
            ("{}", {}),
            ("[1, [2]]", (1, (2,))),
        ),
    ],
)
def test_scalars_are_typed_by_yaml_1_2(written: str, value: object) -> None:
    found = read(f"a: {written}\n").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = read("a: .nan").plain()["a"]
    assert isinstance(found, float)
    assert math.isnan(found)


def test_a_byte_order_mark_and_any_line_ending_are_fine() -> None:
    source, _ = read_source_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\rc: 3\n", "r.yaml")
    assert source is not None
    assert source.plain() == {"a": 1, "b": 2, "c": 3}
    assert source.lines == ("a: 1", "b: 2", "c: 3")
    assert source.key_span("c") == Span("r.yaml", 3, 1, 3, 2)


# --- places


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("name", "sms-spam"),
        ("data.source[0]", "{path: data/sms.csv, weight: 0.5}"),
        ("data.source[0].weight", "0.5"),
        (("data", "source", 1, "path"), "data/more.csv"),
        ("data.fields.label", "class"),
        ("train.learning_rate", "2e-4"),
        ("train.resume", ""),
        ("eval.metrics", "[accuracy, macro_f1]"),
        ("eval.metrics[1]", "macro_f1"),
        ("eval.metrics[7]", "[accuracy, macro_f1]"),
        ("data.source[1].sha256", "path: data/more.csv"),
        ("train.learning_rate.unit", "2e-4"),
    ],
)
def test_the_place_of_a_value_or_of_what_is_nearest(path: tuple[str | int, ...] | str, text: str) -> None:
    assert marked(RECIPE, read(RECIPE).span(path)) == text


def test_an_absent_value_stands_behind_its_colon() -> None:
    assert read(RECIPE).span("train.resume") == Span("r.yaml", 14, 10, 14, 10)


def test_a_block_ends_with_its_last_value() -> None:
    source = read(RECIPE)
    assert source.span("data") == Span("r.yaml", 4, 3, 7, 40)
    assert source.span("train.notes") == Span("r.yaml", 10, 10, 12, 10)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("train.learning_rate", "learning_rate"),
        ("train.learning_rate.unit", "learning_rate"),
        ("train.absent", "train"),
        ("data.source[1].path", "path"),
        ("data.source[1]", "path: data/more.csv"),
    ],
)
def test_the_place_of_a_key(path: str, text: str) -> None:
    assert marked(RECIPE, read(RECIPE).key_span(path)) == text


def test_nodes_by_path() -> None:
    source = read(RECIPE)
    assert source.node("data.source[2]") is None
    assert source.node(()) is source.root
    assert source.node("name") is source.root.entries["name"].node


# --- faults


@pytest.mark.parametrize("code", [code for code in text_codes.CODES if code.wrong], ids=lambda code: code.id)
def test_the_examples_of_each_code(code: Code) -> None:
    assert codes(code.wrong) == [code.id]
    assert read(code.right).root.entries


def test_independent_faults_come_in_one_pass() -> None:
    text = "a-b: 1\nc: !x 2\nd: &y 3\nd: ${Z}\ne: 1e999\n<<: {f: *y}\ng: 'hf_0123456789abcdefXYZ'\nh: [\n"
    expected = ["FTC010", "FTC006", "FTC004", "FTC003", "FTC017", "FTC020", "FTC005", "FTC004", "FTC018", "FTC001"]
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("text", "summary", "place"),
    [
        ("a: 'x\n", "a quote is never closed", (1, 4)),
        ("a: [1, 2\nb: 3\n", "`,` or `]` is missing", (2, 2)),
        ("a: {b: [1, 2}\n", "`,` or `]` is missing", (1, 13)),
        ("a: {b: 1\n", "`{` is never closed", (1, 4)),
        ("a: b: c\n", "a second `: ` in one line", (1, 5)),
        ("a: 1\n  b: 2\n", "a line with another indentation than the lines above", (2, 4)),
        ("a: 1\nb\nc: 2\n", "a line without `key: value`", (2, 1)),
        ("a: @x\n", "no value can start with `@`", (1, 4)),
        ('a: "C:\\data"\n', "an escape that YAML doesn't have", (1, 8)),
        ("a: 'x' y\n", "this line is outside the block above", (1, 8)),
        ("a: >= 0.95\n", "a value that starts with `>` or `|` begins a text of several lines", (1, 4)),
        ("a: {b: >= 0.95}\n", "no value can start with `>`", (1, 8)),
        ("a:\t1\n", "a tab instead of a space", (1, 3)),
        ("{a: 1} b\n", "text after the end of the recipe", (1, 8)),
        ("a: ? b\n", "a `?` opens a key here", (1, 4)),
        ("a: - b\n", "a list item can't start here", (1, 4)),
        ("a: ]\n", "a value is missing", (1, 4)),
        ('a: "\\U00110000"\n', "a value that can't be read", (1, 2)),
    ],
)
def test_syntax_errors_in_plain_words(text: str, summary: str, place: tuple[int, int]) -> None:
    finding = fault(text)
    assert (finding.code, finding.summary) == ("FTC001", summary)
    assert finding.span is not None
    assert (finding.span.line, finding.span.column) == place
    assert finding.help


def test_a_tab_is_named_and_the_others_are_counted() -> None:
    finding = fault("train:\n\tepochs: 3\n\tseed: 1\n")
    assert finding.span == Span("r.yaml", 2, 1, 2, 2)
    assert finding.notes == ("1 more line starts with a tab",)
    assert finding.fixes[0].edits[0].text == "  "


def test_a_tab_in_a_value_is_fine() -> None:
    assert read("a: 'x\ty'\nb: [1,\n\t2]\n").plain() == {"a": "x\ty", "b": (1, 2)}


def test_a_duplicate_key_names_the_first() -> None:
    text = "train:\n  lr: 1\n  lr: 2\n"
    finding = fault(text)
    assert finding.span == Span("r.yaml", 3, 3, 3, 5)
    assert finding.related[0].span == Span("r.yaml", 2, 3, 2, 5)
    assert finding.path == "train.lr"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("train: {batch-size: 1}\n", "batch_size"),
        ("train: {num-epochs: 1}\n", "epochs"),
        ("train: {learning-rte: 1}\n", "learning_rate"),
        ("data: {source: [{max-rows: 1}], max-rows: 1}\n", "max_rows"),
    ],
)
def test_a_hyphen_has_a_safe_fix_where_a_key_is_meant(text: str, key: str) -> None:
    (fix,) = faults(text)[-1].fixes
    assert fix.safe
    assert fix.edits[0].text == key


def test_what_is_no_key_of_its_section_is_not_renamed() -> None:
    (fix,) = (finding := fault("strategy: {learning-rate: 1}\n")).fixes
    assert (fix.safe, finding.notes) == (False, ("`learning_rate` is a key of `train`",))
    finding = fault("data: {foo-bar: 1}\n")
    assert (finding.fixes, finding.label) == ((), "")
    for key in ("save-steps", "eval-batch-size", "min-learning-rate", "min-steps", "adam-beta1"):
        assert not any(fix.safe for fix in fault(f"train: {{{key}: 1}}\n").fixes), key
    finding = fault("train: {gradient-accumulation-steps: 8}\n")
    assert (finding.fixes, finding.label) == ((), "a name from other tools")
    finding = faults("x-common: &common {rank: 8}\n")[0]
    assert (finding.fixes, finding.label) == ((), "")
    assert "`extends`" in finding.help[0]
    assert "anchors" in finding.notes[0]


@pytest.mark.parametrize(
    ("key", "shown", "suggestion"),
    [
        ("l\u0435arning_rate", "l\\u{435}arning_rate", "learning_rate"),
        ("\u0440ath", "\\u{440}ath", "path"),
        ("\uff52ank", "\\u{ff52}ank", "rank"),
        ("learningRate", "learningRate", "learning_rate"),
        ("Train", "Train", "train"),
        ("batch size", "batch size", "batch_size"),
        ("1st", "1st", None),
        ("\u65e5\u672c", "\\u{65e5}\\u{672c}", None),
    ],
)
def test_other_keys_are_shown_as_escapes_and_never_mended_unasked(key: str, shown: str, suggestion: str | None) -> None:
    finding = fault(f"{key}: 1\n")
    assert finding.summary == f"`{shown}` is not a key"
    assert [fix.edits[0].text for fix in finding.fixes] == ([suggestion] if suggestion else [])
    assert not any(fix.safe for fix in finding.fixes)


@pytest.mark.parametrize(
    "character", ["\u200b", "\u202e", "\u2066", "\ufeff", "\x1b", "\x7f", "\x85", "\u2028", "\u00ad"]
)
@pytest.mark.parametrize("text", ["na{}me: x\n", "name: a{}b\n", "name: x # {}\n", "name: 'a{}b'\n"])
def test_unseen_characters_are_found_anywhere(character: str, text: str) -> None:
    finding = fault(text.format(character))
    assert finding.code == "FTC011"
    assert f"U+{ord(character):04X}" in finding.summary
    assert finding.span is not None
    assert finding.span.column == text.index("{") + 1


@pytest.mark.parametrize("escape", ["\\u202e", "\\u200b", "\\ud800", "\\0", "\\x9b"])
def test_unseen_characters_as_escapes(escape: str) -> None:
    assert codes(f'name: "a{escape}b"\n') == ["FTC011"]


SECRETS = [
    "hf_AbCdEfGhIjKlMnOpQrSt",
    "sk-proj-0123456789abcdefgh",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_0123456789abcdefghij",
    "github_pat_0123456789abcdefghij",
    "https://user:hunter2@example.org/x",
    "https://0123456789abcdef@example.org/x",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text", ["name: {}\n", "name: 'x {} y'\n", "name: x  # {}\n", "{}: 1\n", "a: !{} b\n", "a: ${{{}}}\n"]
)
def test_a_secret_is_found_and_never_repeated(secret: str, text: str) -> None:
    written = text.format(secret)
    findings = faults(written)
    assert "FTC018" in [finding.code for finding in findings]
    hidden = secret.removeprefix("https://").split("@")[0][-12:]
    assert hidden not in repr(findings)
    assert hidden not in "".join(shown_lines(written))
    assert len(shown_lines(written)[0]) == len(written) - 1


@pytest.mark.parametrize(
    "text", ["scikit-learn-pipeline-2024-01", "hf_transfer", "task-learning-0123456789abcdef", "a@b.org"]
)
def test_what_is_no_secret(text: str) -> None:
    assert read(f"name: '{text}'\n").plain() == {"name": text}


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "---\na: 1\n--- \n"])
def test_a_second_document_is_refused(text: str) -> None:
    assert codes(text) == ["FTC007"]


def test_an_empty_file_says_how_to_start() -> None:
    for text in ("", "\n\n", "# only a comment\n", "---\n", "~\n"):
        finding = fault(text)
        assert finding.code == "FTC008"
        assert "ftc: 1" in finding.help[0]


def test_limits() -> None:
    assert codes("a: " + "x" * LARGEST_FILE) == ["FTC013"]
    assert codes("a: '" + "x" * 70_000 + "'") == ["FTC016"]
    assert codes("a: [" + "1," * 10_001 + "]") == ["FTC015"]
    assert codes("a: " + "[" * 1500) == ["FTC014"]
    assert codes("a: " + "9" * 5000) == ["FTC020"]
    assert read("a: " + "[" * 31 + "]" * 31).node("a" + "[0]" * 30)


def test_an_alias_bomb_is_never_expanded() -> None:
    letters = "abcdefghij"
    lines = [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(letters)]
    findings = faults("a: &a [x]\n" + "\n".join(lines))
    assert {finding.code for finding in findings} == {"FTC004"}
    assert len(findings) == 20
    assert "there may be more" in findings[-1].notes[-1]


def test_bytes_that_are_not_utf_8() -> None:
    source, (finding,) = read_source_bytes("a: 1\nname: caf\u00e9\n".encode("latin-1"), "r.yaml")
    assert source is None
    assert (finding.code, finding.span) == ("FTC012", Span("r.yaml", 2, 10, 2, 10))
    assert read_source_bytes("a: 1".encode("utf-16"), "r.yaml")[1][0].label == "probably UTF-16"
    assert read_source_bytes(b"x" * (LARGEST_FILE + 1), "r.yaml")[1][0].code == "FTC013"


# --- properties

ALPHABET = st.sampled_from(
    [*"ab1-:,[]{}#&*!|>'\"%@`?~<=$()\\/_. \n\t\r", "\u00e9", "\u200b", "\ud800", "\x00", "hf_", "- ", ": "]
)
PIECES = st.lists(st.one_of(ALPHABET, st.sampled_from(RECIPE.splitlines(keepends=True))), max_size=40).map("".join)


def assert_well_formed(text: str) -> None:
    source, findings = read_source(text, "r.yaml")
    assert (source is None) == bool(findings)
    lines = shown_lines(text)
    for finding in findings:
        assert finding.span is not None
        assert_inside(finding.span, lines)
    if source is not None:
        assert source.lines == lines
        assert_inside(source.root.span, lines)
        assert list(source.plain()) == list(source.root.entries)
        for key, entry in source.root.entries.items():
            assert marked("\n".join(lines), entry.key_span).strip("'\"") == key


def assert_inside(span: Span, lines: tuple[str, ...]) -> None:
    assert 1 <= span.line <= span.end_line <= max(1, len(lines) + 1)
    assert (span.line, span.column) <= (span.end_line, span.end_column)
    for line, column in ((span.line, span.column), (span.end_line, span.end_column)):
        assert 1 <= column <= (len(lines[line - 1]) if line <= len(lines) else 0) + 1


@settings(deadline=None, max_examples=300)
@given(PIECES)
def test_yaml_like_text_never_raises(text: str) -> None:
    assert_well_formed(text)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.text())
def test_any_text_never_raises(text: str) -> None:
    assert_well_formed(text)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_never_raise(data: bytes) -> None:
    source, findings = read_source_bytes(data, "r.yaml")
    assert (source is None) == bool(findings)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(RECIPE)), ALPHABET, st.integers(0, 3))
def test_a_mutated_recipe_never_raises(at: int, piece: str, dropped: int) -> None:
    assert_well_formed(RECIPE[:at] + piece + RECIPE[at + dropped :])


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_numbers_written_by_python_read_back_the_same(value: float) -> None:
    written = str(value).lower()
    found = read(f"a: {written}\n").plain()["a"]
    assert found == value
    assert type(found) is type(value)


def test_the_marks_of_a_merge_are_told_once() -> None:
    text = "ftc: 1\n<<<<<<< HEAD\nname: a\n=======\nname: b\n>>>>>>> other\ntask: {kind: chat}\n"
    source, found = read_source(text, "recipe.yaml")
    assert source is None
    assert [(one.code, one.span and one.span.line) for one in found] == [("FTC001", 2)]
    assert found[0].summary == "the marks of a merge that was not resolved"
