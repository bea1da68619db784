"""Layers of a recipe: what wins, what merges, and where each value is said to come from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftc.spec.language.overlay import as_flags, merge, moved, read_flags
from ftc.spec.language.source import Source, read_source


def source(text: str, file: str = "recipe.yaml") -> Source:
    found, problems = read_source(text, file)
    assert found is not None, problems
    return found


def merged(*texts: str) -> dict[str, Any]:
    layers = [source(text, f"{number}.yaml") for number, text in enumerate(texts)]
    whole, found = merge(layers, layers[-1])
    assert not found
    return whole.plain()


@pytest.mark.parametrize(
    ("below", "above", "outcome"),
    [
        ("train: {epochs: 3, seed: 1}", "train: {epochs: 1}", {"train": {"epochs": 1, "seed": 1}}),
        ("eval: {metrics: [accuracy, f1]}", "eval: {metrics: [f1]}", {"eval": {"metrics": ("f1",)}}),
        (
            "train: {early_stopping: {patience: 2}}",
            "train: {early_stopping: null}",
            {"train": {"early_stopping": None}},
        ),
        ("train: {early_stopping: null}", "train: {early_stopping: {patience: 2}}", None),
        ("strategy: {kind: lora, rank: 4}", "strategy: {rank: 8}", {"strategy": {"kind": "lora", "rank": 8}}),
        ("strategy: {kind: lora, rank: 4}", "strategy: {kind: lora}", {"strategy": {"kind": "lora", "rank": 4}}),
        ("strategy: {kind: lora, rank: 4}", "strategy: {kind: full}", {"strategy": {"kind": "full"}}),
        ("strategy: {rank: 4}", "strategy: {kind: lora}", {"strategy": {"rank": 4, "kind": "lora"}}),
        ("data: {source: {path: a.csv}}", "data: {source: {hub: a/b, file: c}}", None),
        ("data: {source: {hub: a/b, file: c}}", "data: {source: {path: a.csv}}", None),
        (
            "data: {source: {hub: a/b, file: c}}",
            "data: {source: {revision: d}}",
            {"data": {"source": {"hub": "a/b", "file": "c", "revision": "d"}}},
        ),
        (
            "data: {fields: {kind: a, text: t}}",
            "data: {fields: {kind: b}}",
            {"data": {"fields": {"kind": "b", "text": "t"}}},
        ),
        ("nonsense: {a: 1}", "nonsense: {b: 2}", {"nonsense": {"a": 1, "b": 2}}),
    ],
)
def test_mappings_merge_and_all_else_is_replaced(below: str, above: str, outcome: dict[str, Any] | None) -> None:
    assert merged(below, above) == (outcome or source(above).plain())


@pytest.mark.parametrize(
    ("below", "flags", "outcome"),
    [
        ("a: [x, y]", ["a[0]=z"], {"a": ("z", "y")}),
        ("a: [x, y]", ["a.1=z"], {"a": ("x", "z")}),
        ("a: [x, y]", ["a[2]=z", "a[3]=u"], {"a": ("x", "y", "z", "u")}),
        ("a: [x, y]", ["a=[u]", "a[1]=v"], {"a": ("u", "v")}),
        ("a: null", ["a[0]=1e-4"], {"a": (1e-4,)}),
        ("b: 1", ["a[0]=x", "a[1]=y"], {"b": 1, "a": ("x", "y")}),
        ("b: 1", ["a.b[0].c=x"], {"b": 1, "a": {"b": ({"c": "x"},)}}),
        ("a: [{b: 1, c: 2}, 3]", ["a[0].b=4"], {"a": ({"b": 4, "c": 2}, 3)}),
        ("a: [[1, 2], 3]", ["a[0][1]=4"], {"a": ((1, 4), 3)}),
        ("a: [{b: 1}]", ["a[0]={c: 2}"], {"a": ({"b": 1, "c": 2},)}),
        ("a: [{b: [1]}]", ["a[0].b[1]=2"], {"a": ({"b": (1, 2)},)}),
    ],
)
def test_a_flag_changes_or_adds_an_item(below: str, flags: list[str], outcome: dict[str, Any]) -> None:
    layers, problems, _ = read_flags(flags)
    assert not problems
    main = source(below)
    whole, found = merge([main, *layers], main)
    assert not found
    assert whole.plain() == outcome
    assert whole.where("a") == f"--set {flags[-1]}" or "." in flags[-1]


@pytest.mark.parametrize(
    ("below", "flag", "summary", "help"),
    [
        ("a: [x]", "a[2]=z", "`a` has 1 item, but none at position 2", "`a[1]` adds an item"),
        ("b: 1", "a.1=z", "`a` has 0 items, but none at position 1", "`a[0]` adds an item"),
        ("a: auto", "a[0]=z", "`a` is not a list but `auto`", "`--set 'a=[…]'`"),
        ("a: {b: 1}", "a[0]=z", "`a` is a mapping", "set it as a whole"),
        ("a: [{b: x}]", "a[0].b.0=z", "`a[0].b` is not a list but `x`", "`--set 'a[0].b=[…]'`"),
    ],
)
def test_a_flag_for_an_item_that_is_not_there(below: str, flag: str, summary: str, help: str) -> None:
    (layer,), _, _ = read_flags([flag])
    main = source(below)
    _, (found,) = merge([main, layer], main)
    assert (found.code, found.summary) == ("FTC027", summary)
    assert help in found.help[0]
    assert found.span is not None
    steps = flag.partition("=")[0].rstrip("]")
    assert (found.span.file, found.span.column) == ("--set", len(f"--set {steps}"))


def test_order_is_that_of_the_lowest_layer() -> None:
    assert list(merged("b: 1\na: 2", "c: 3\na: 4")) == ["b", "a", "c"]


def test_places_are_those_of_the_layer_that_speaks() -> None:
    base = source("ftc: 1\ntrain:\n  epochs: 3\n  seed: 1\n", "base.yaml")
    main = source("name: a\ntrain:\n  seed: 2\n", "main.yaml")
    whole, _ = merge([base, main, *read_flags(["train.epochs=1", "budget={device: cpu}"])[0]], main)
    assert whole.where("ftc") == "base.yaml:1"
    assert whole.where("train.seed") == "main.yaml:3"
    assert whole.where("train.epochs") == "--set train.epochs=1"
    assert whole.where("budget.device") == "--set budget={device: cpu}"
    assert (whole.span(()).file, whole.span("train").file) == ("main.yaml", "main.yaml")
    assert (whole.file, whole.lines) == ("main.yaml", main.lines)


def test_a_value_that_nobody_set_has_no_place_in_a_flag_for_another_one() -> None:
    main = source("name: a\ntrain:\n  seed: 2\n", "main.yaml")
    whole, _ = merge([main, *read_flags(["budget.device=cpu", "data.split.test=0", "train.epochs=1"])[0]], main)
    for path, line in (("budget.time", 1), ("data.split.validation", 1), ("data.empty", 1), ("train.batch_size", 3)):
        assert (whole.span(path).file, whole.span(path).line) == ("main.yaml", line), path
    for path in ("budget.device", "data.split.test", "train.epochs", "data.split"):
        assert whole.span(path).file == "--set", path


def test_a_long_flag_is_shortened_as_an_origin() -> None:
    (flag,), _, _ = read_flags([f"name={'a' * 200}"])
    assert len(flag.where("name")) == 80
    assert flag.where("name").endswith("…")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("train.epochs=1", 1),
        ("train.learning_rate=1e-4", 1e-4),
        ("name=no", "no"),
        ('name="1"', "1"),
        ("train.early_stopping=", None),
        ("name=a=b", "a=b"),
        ("eval.metrics=[accuracy, macro_f1]", ("accuracy", "macro_f1")),
        ('eval.gates={accuracy: ">= 0.5"}', {"accuracy": ">= 0.5"}),
        (r'task.prompt="a\nb"', "a\nb"),
    ],
)
def test_a_flag_is_typed_like_the_file(flag: str, value: object) -> None:
    (found,), problems, lines = read_flags([flag])
    assert problems == ()
    path = flag.partition("=")[0]
    place = found.span(path)
    node: Any = found.plain()
    for key in path.split("."):
        node = node[key]
    assert node == value
    written = flag.partition("=")[2]
    assert lines[0][place.column - 1 : place.end_column - 1] == written
    name = found.key_span(path)
    assert lines[0][name.column - 1 : name.end_column - 1] == path.rpartition(".")[2]


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("epochs", "FTC024"),
        ("=1", "FTC024"),
        ("Train.epochs=1", "FTC024"),
        ("data.source[a].path=a", "FTC024"),
        ("[0]=a", "FTC024"),
        ("data[-1]=a", "FTC024"),
        ("train..epochs=1", "FTC024"),
        ("name=a\nname: b", "FTC024"),
        ("name=a\r", "FTC024"),
        ("extends=base.yaml", "FTC025"),
        ("extends.a=b", "FTC025"),
        ("name=a: b", "FTC001"),
        ("name={a", "FTC001"),
        ("name=&a b", "FTC004"),
        ("name=!env A", "FTC006"),
        ("name=${USER}", "FTC017"),
        ("name=hf_" + "a" * 30, "FTC018"),
        ("name=a\u200bb", "FTC011"),
        ("name=a\u2028b", "FTC011"),
        ("train.learning_rate=1e999", "FTC020"),
    ],
)
def test_a_flag_that_says_nothing(flag: str, code: str) -> None:
    sources, found, lines = read_flags(["train.epochs=1", flag])
    assert sources == ()
    assert found[0].code == code
    assert found[0].span is not None
    assert (found[0].span.file, found[0].span.line) == ("--set", 2)
    assert "hf_a" not in "".join(lines)


def test_all_flags_are_checked_in_one_pass() -> None:
    _, found, _ = read_flags(["a", "b=1", "c=&d", "e"])
    assert [(one.code, one.span.line) for one in found if one.span] == [("FTC024", 1), ("FTC004", 3), ("FTC024", 4)]


def test_relative_paths_move_with_their_file() -> None:
    text = "data: {source: {path: rows.csv}, split: {test: {path: ../t.csv}}}\nmodel: {base: models/tiny}\n"
    there = moved(source(text), "shared", lambda base: base == "models/tiny").plain()
    assert there == {
        "data": {"source": {"path": "shared/rows.csv"}, "split": {"test": {"path": "t.csv"}}},
        "model": {"base": "./shared/models/tiny"},
    }
    assert moved(source(text), "..", lambda base: False).plain()["model"] == {"base": "models/tiny"}
    assert moved(source(text), ".", lambda base: True) == source(text)


@pytest.mark.parametrize("path", ["/etc/passwd", "~/a.csv", r"a\b", "C:/a.csv", "''"])
def test_paths_that_no_recipe_may_have_stay_what_they_are(path: str) -> None:
    text = f"data: {{source: [{{path: {path}}}]}}"
    assert moved(source(text), "shared", lambda base: False) == source(text)


@given(st.lists(st.text(max_size=30) | st.text("ab.=:{}[]\"'|>&*!#%$- \t\n\ud800", max_size=12), max_size=4))
def test_whatever_a_flag_says_it_is_read_or_refused(flags: list[str]) -> None:
    sources, found, lines = read_flags(flags)
    assert len(sources) == (0 if found else len(flags))
    assert len(lines) == len(flags)
    assert all(one.span and one.span.file == "--set" and one.span.line <= len(flags) for one in found)


_texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
_leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1e-4]) | _texts
_keys = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
_values = st.recursive(_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3))


@given(st.dictionaries(_keys.filter(lambda key: key != "extends"), _values, min_size=1, max_size=4))
def test_a_file_can_be_said_in_flags(values: dict[str, Any]) -> None:
    import json

    escaped = json.dumps(values, ensure_ascii=False).replace("${", "\\u0024{").replace("$(", "\\u0024(")
    read, problems = read_source(escaped, "on_top.yaml")
    if read is None:  # a text that no recipe may hold, such as one that looks like a secret
        assert problems
        return
    flags, found, _ = read_flags(as_flags(read))
    assert found == ()
    assert merge(flags, flags[-1])[0].plain() == read.plain()
