"""Splits of data sets on the hub: their files by README.md or by name, pinned by the lock, read as one source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.files.hub_features import features_of, infos_of
from ftc.compiler.resolve.files.hub_splits import NoSplit, SplitAsked, files_of_split
from ftc.compiler.resolve.rows.data import ResolvedData, lock_entry
from ftc.compiler.resolve.rows.data_files import DataFile
from ftc.spec.codes import CODES
from ftc.spec.diagnostics import Refusal, Span
from ftc.spec.documents.lockfile import DataLock, Lock
from tests.support import resolved_rows
from tests.support.hub_languages import CONFIGS, FILES
from tests.support.hub_server import HubRepo, HubServer, hub_with_cache
from tests.support.recipes import parsed

BY_NAME = ["data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/valid.csv", "constrained_test.csv"]
LANGUAGES = f"""\
---
license: mit
dataset_info:
- config_name: en
  features:
  - name: label
    dtype:
      class_label:
        names:
          '0': cold
configs:
{CONFIGS}tags: [a]
---
# Rows
"""


@pytest.mark.parametrize(
    ("split", "found"),
    [
        ("train", BY_NAME[:2]),
        ("validation", ["data/valid.csv"]),
        ("test", ["constrained_test.csv"]),
        ("valid", ["data/valid.csv"]),
    ],
)
def test_names_tell_a_split_where_readme_does_not(split: str, found: list[str]) -> None:
    for readme in (None, b"# Rows", b"---\nlicense: mit\n---\n"):
        assert files_of_split(BY_NAME, readme, SplitAsked(None, split)) == tuple(found)


@pytest.mark.parametrize(
    ("config", "split", "found"),
    [
        ("en", "train", ["en/train-0.csv", "en/train-1.csv"]),
        ("en", "test", ["en/a.csv", "en/b.csv"]),
        ("de", "train", ["de/train.csv"]),
        ("de", "validation", ["de/dev.csv"]),
    ],
)
def test_readme_tells_the_files_of_a_configuration(config: str, split: str, found: list[str]) -> None:
    assert files_of_split(FILES, LANGUAGES.encode(), SplitAsked(config, split)) == tuple(found)


def configs(text: str) -> bytes:
    return f"---\nconfigs:\n{text}---\n".encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- data_files: 'de/*.csv'\n", ["de/dev.csv", "de/train.csv"]),
        ("- data_files: [en/a.csv, ./en/b.csv]\n", ["en/a.csv", "en/b.csv"]),
        ("- data_files: {train: '**/train*.csv', test: en/a.csv}\n", ["de/train.csv", *FILES[:2], "en/x/train-2.csv"]),
        ("- config_name: a\n  data_dir: ./en/\n  data_files: train-?.csv\n", FILES[:2]),
        ("- config_name: a\n  default: true\n  data_files: en/a.csv\n- config_name: b\n", ["en/a.csv"]),
        ("- config_name: b\n- config_name: default\n  data_files: en/a.csv\n", ["en/a.csv"]),
    ],
)
def test_every_documented_form_is_read(text: str, found: list[str]) -> None:
    assert sorted(files_of_split(FILES, configs(text), SplitAsked(None, "train"))) == sorted(found)


COMMENTED = """\
---
# configs: none yet
configs: # all
- config_name: en
  data_files: en/train-*.csv
# German
- config_name: de
  data_files: de/train.csv

# the end
tags: [a]
---
"""
BRACKETS = """\
---
configs: [
  {config_name: en, data_files: en/train-*.csv},
  {config_name: de, data_files: de/train.csv}
]
tags: [a]
---
"""


@pytest.mark.parametrize("readme", [COMMENTED, BRACKETS, COMMENTED.replace("\n", "\r\n"), f"\ufeff\n{BRACKETS}"])
def test_no_configuration_is_lost_to_a_comment_or_brackets(readme: str) -> None:
    assert files_of_split(FILES, readme.encode(), SplitAsked("de", "train")) == ("de/train.csv",)
    with pytest.raises(NoSplit, match="2 configurations"):
        files_of_split(FILES, readme.encode(), SplitAsked(None, "train"))


@pytest.mark.parametrize(
    ("pattern", "name"), [("**/" * 60 + "x.csv", "a/" * 400 + "y.csv"), ("*a" * 80 + ".x", "a" * 600 + ".y")]
)
def test_no_pattern_of_a_stranger_holds_a_plan(pattern: str, name: str) -> None:
    """One that is tried in every way it could mean a name would take longer than anybody lives."""
    with pytest.raises(NoSplit, match="has no file that is"):
        files_of_split([name], configs(f"- data_files: '{pattern}'\n"), SplitAsked(None, "train"))


def test_splits_of_like_names_are_not_one() -> None:
    names = [f"data/train_{kind}-00000-of-00001.parquet" for kind in ("sft", "gen")]
    assert files_of_split(names, None, SplitAsked(None, "train_gen")) == (names[1],)
    with pytest.raises(NoSplit) as caught:
        files_of_split(names, None, SplitAsked(None, "train"))
    assert (caught.value.summary, caught.value.help) == ("has no split `train`", "it has `train_gen`, `train_sft`")


@pytest.mark.parametrize(("split", "found"), [("train", "train_sft"), ("test", "test_sft"), ("validation", "dev")])
def test_an_uploaded_split_has_its_own_name_alone(split: str, found: str) -> None:
    names = [f"data/{one}-00000-of-00001.parquet" for one in ("train_sft", "test_sft", "dev")]
    (own,) = files_of_split(names, None, SplitAsked(None, found))
    with pytest.raises(NoSplit) as caught:
        files_of_split(names, None, SplitAsked(None, split))
    assert caught.value.summary == f"has no split `{split}`"
    assert caught.value.help == "it has `dev`, `test_sft`, `train_sft`"
    assert files_of_split([*names, f"{split}.parquet"], None, SplitAsked(None, found)) == (own,)


def test_all_splits_that_would_answer_are_named() -> None:
    names = ["data/train_sft-00000-of-00001.parquet", "test.parquet"]
    with pytest.raises(NoSplit) as caught:
        files_of_split(names, None, SplitAsked(None, "validation"))
    assert caught.value.help == "it has `test`, `train_sft`"
    for split, name in zip(("train_sft", "test"), names, strict=True):
        assert files_of_split(names, None, SplitAsked(None, split)) == (name,)
    with pytest.raises(NoSplit) as caught:
        files_of_split([*names, "test-train.parquet"], None, SplitAsked(None, "validation"))
    assert caught.value.help == "it has `train_sft`", "`test` would be refused: a file says another split as well"


@pytest.mark.parametrize("readme", ["configs:\n", "configs: []\n", "dataset_info:\n  configs: 1\n"])
def test_a_readme_without_configurations_leaves_it_to_names(readme: str) -> None:
    found = files_of_split(BY_NAME, f"---\n{readme}---\n".encode(), SplitAsked(None, "train"))
    assert found == tuple(BY_NAME[:2])


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["train/train.csv", "train/dev.csv"], "train", ["train/train.csv"]),
        (["train/train.csv", "train/dev.csv"], "validation", ["train/dev.csv"]),
        (["train/0.csv", "test/0.csv"], "train", ["train/0.csv"]),
        (["train/0.csv", "train/1.csv", "extra/0.csv"], "extra", ["extra/0.csv"]),
        (["a/test_matched.csv", "a/train.csv"], "test_matched", ["a/test_matched.csv"]),
    ],
)
def test_the_name_of_a_file_goes_before_its_folders(names: list[str], split: str, found: list[str]) -> None:
    assert files_of_split(names, None, SplitAsked(None, split)) == tuple(found)


@pytest.mark.parametrize(
    ("names", "readme", "words"),
    [
        (["train_dev.csv", "train.csv"], None, "`train` and another split: `train_dev.csv`"),
        (["train/dev/0.csv"], None, "`train` and another split: `train/dev/0.csv`"),
        (["data/train.csv", "data/train.jsonl"], None, "several kinds for `train`, which may hold the same rows: .csv"),
        (["a.csv", "a.jsonl"], configs("- data_files: a.*\n"), "several kinds for `train`"),
        (["a.csv", "a.jsonl"], None, "several kinds for `train`"),
    ],
)
def test_rows_are_never_in_two_splits_or_twice_in_one(names: list[str], readme: bytes | None, words: str) -> None:
    with pytest.raises(NoSplit) as caught:
        files_of_split(names, readme, SplitAsked(None, "train"))
    assert words in caught.value.summary
    assert caught.value.is_ambiguous


@pytest.mark.parametrize(
    ("readme", "asked", "words"),
    [
        (LANGUAGES.encode(), SplitAsked(None, "train"), "2 configurations, and the recipe names none"),
        (LANGUAGES.encode(), SplitAsked("fr", "train"), "no configuration `fr`"),
        (LANGUAGES.encode(), SplitAsked("en", "trian"), "no split `trian` in its configuration `en`"),
        (None, SplitAsked("en", "train"), "its README.md lists none"),
        (None, SplitAsked(None, "extra"), "no file whose name says `extra`"),
        (configs("- data_files: 'fr/*.csv'\n"), SplitAsked(None, "train"), "has no file that is `fr/*.csv`"),
        (configs("- data_files: 3\n"), SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (b'---\n"configs": []\n---\n', SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (b"---\n{license: mit, configs: [{data_files: en/a.csv}]}\n---\n", SplitAsked(None, "train"), "a form that"),
        (b"---\n  configs:\n  - data_files: en/a.csv\n---\n", SplitAsked(None, "train"), "a form that ftc"),
        (b"---\nconfigs:\n- data_files: en/a.csv\n", SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (b"---\nconfigs: []\na: b\nconfigs: []\n---\n", SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (configs("- {a: &x 1, b: *x}\n"), SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (configs("- [1]\n"), SplitAsked(None, "train"), "a form that ftc doesn't read"),
        (configs("- data_files:\n  - split: train\n"), SplitAsked(None, "train"), "a form that ftc doesn't read"),
    ],
)
def test_what_is_not_there_has_its_name_said(readme: bytes | None, asked: SplitAsked, words: str) -> None:
    with pytest.raises(NoSplit) as caught:
        files_of_split(FILES, readme, asked)
    assert words in caught.value.summary
    assert caught.value.help


SOURCE = {"hub": "org/rows", "split": "train", "config": "en"}
ROWS = {name: f"text,label\n{name},a\n".encode() for name in FILES}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    repo = HubRepo({**ROWS, "README.md": LANGUAGES.encode()})
    with hub_with_cache(tmp_path, monkeypatch, {"org/rows": repo}) as running:
        yield running


def locate(folder: Path, endpoint: str | None, lock: Lock | None = None, **source: Any) -> DataFile:
    data = parsed(data={"source": {**SOURCE, **source}}).data
    place = Span("recipe.yaml", 1, 1, 1, 2)
    return resolved_rows.located(data, folder, endpoint=endpoint, lock=lock, span_of=lambda path: place)["rows"]


def locked(found: DataFile) -> Lock:
    return Lock.model_construct(data=DataLock.model_construct(sources={"rows": lock_entry(found, [])}))


def test_the_files_of_a_split_are_one_source(tmp_path: Path, server: HubServer) -> None:
    found = locate(tmp_path, server.endpoint)
    assert [*found.members] == ["en/train-0.csv", "en/train-1.csv"]
    assert found.shown_as == "org/rows: en, train"
    table = found.read(None)
    assert [row["text"] for row in table.rows] == [*found.members]
    assert [table.where(number) for number in range(2)] == ["en/train-0.csv:2", "en/train-1.csv:2"]
    assert found.facts.size == sum(len(ROWS[name]) for name in found.members)


def test_the_lock_keeps_the_files_of_a_split(tmp_path: Path, server: HubServer) -> None:
    first = locate(tmp_path, server.endpoint)
    lock = locked(first)
    new = {"README.md": LANGUAGES.replace("en/train-*", "en/a*").encode(), "en/train-3.csv": b"text,label\nnew,a\n"}
    server.repos["org/rows"].push("d" * 40, new)
    assert locate(tmp_path, server.endpoint, lock) == first
    assert [*locate(tmp_path, server.endpoint).members] == ["en/a.csv"]


def test_a_locked_split_needs_no_network(tmp_path: Path, server: HubServer) -> None:
    first = locate(tmp_path, server.endpoint)
    assert locate(tmp_path, None, locked(first)) == first
    with pytest.raises(Refusal) as caught:
        locate(tmp_path, None)
    assert [one.code for one in caught.value.diagnostics] == ["FTC318"]


def test_a_locked_split_is_not_asked_for_again(tmp_path: Path, server: HubServer) -> None:
    first = locate(tmp_path, server.endpoint)
    server.requests.clear()
    assert locate(tmp_path, server.endpoint, locked(first)) == first
    assert server.requests == []


def test_a_locked_split_that_is_not_cached_is_listed_once(tmp_path: Path, server: HubServer) -> None:
    lock = locked(locate(tmp_path, server.endpoint))
    server.requests.clear()
    (tmp_path / "elsewhere").mkdir()
    assert [*locate(tmp_path / "elsewhere", server.endpoint, lock).members] == ["en/train-0.csv", "en/train-1.csv"]
    assert [path for path in server.paths("GET") if path.startswith("/api/")] == [
        f"/api/datasets/org/rows/revision/{'c' * 40}"
    ]


def test_a_cached_file_that_changed_is_noticed_without_a_network(tmp_path: Path, server: HubServer) -> None:
    first = locate(tmp_path, server.endpoint)
    first.members["en/train-1.csv"].resolve().write_bytes(b"text,label\nother,a\n")
    with pytest.raises(Refusal, match="FTC320"):
        locate(tmp_path, server.endpoint, locked(first))


@pytest.mark.parametrize(("source", "code"), [({"config": "fr"}, "FTC323"), ({"config": None}, "FTC324")])
def test_a_split_that_is_not_there_is_a_finding(
    tmp_path: Path, server: HubServer, source: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        locate(tmp_path, server.endpoint, **source)
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.path) == (code, "data.source.hub")
    assert {"split", "configuration"} <= set(re.findall(r"split|configuration", CODES[code].cause))
    assert "`org/rows` has" in finding.summary


def test_the_guide_shows_both_keys() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "guide.md").read_text(encoding="utf-8")
    assert "{hub: owner/name, split: train}" in guide
    assert "`config: en`" in guide


def test_a_recipe_without_these_keys_says_what_it_said() -> None:
    source = parsed(data={"source": {"hub": "org/rows"}}).data.source
    assert not isinstance(source, tuple)
    assert source.to_json() == {"hub": "org/rows", "file": None, "revision": None}


CLASSES = """\
---
dataset_info:
- config_name: en
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': cold
          '1': "warm, mild"
  - name: topics
    sequence:
      class_label:
        names: [sport, arts]
  splits:
  - name: train
    num_examples: 4
- config_name: de
  features:
  - name: label
    dtype:
      class_label:
        names: {'0': kalt}
configs:
- config_name: en
  data_files: en/train-*.csv
- config_name: de
  data_files: de/train.csv
---
# Rows
"""


def _described(info: str) -> str:
    return f"---\nlicense: mit\ndataset_info: {info}\n---\n"


@pytest.mark.parametrize(
    ("readme", "config", "found"),
    [
        (CLASSES, "en", {"label": ("cold", "warm, mild"), "topics": ("sport", "arts")}),
        (CLASSES, "de", {"label": ("kalt",)}),
        (CLASSES, None, {}),  # the configurations differ, and nobody says which is meant
        (CLASSES.replace("label", "class"), "de", {}),
        (LANGUAGES, None, {"label": ("cold",)}),
        (_described("{features: [{name: a, dtype: {class_label: {names: [x, y]}}}]}"), None, {"a": ("x", "y")}),
        (_described("{features: [{name: a, list: {class_label: {names: [x]}}}]}"), None, {"a": ("x",)}),
        (_described("&a {features: *a}"), None, {}),
        (_described("{features: [{name: a, dtype: {class_label: {names: {'1': x}}}}]}"), None, {}),
        (_described("{features: [{name: a, dtype: {class_label: {names: [1]}}}]}"), None, {}),
        (_described("{features: [a, {name: b}], b: !!python/name:os.system 1}"), None, {}),
        ("# Rows\ndataset_info: {}\n", None, {}),
    ],
)
def test_a_card_names_classes(readme: str, config: str | None, found: dict[str, tuple[str, ...]]) -> None:
    assert features_of(infos_of(readme.encode()) or (), config) == found


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("source", [SOURCE, {"hub": "org/rows", "file": "en/train-0.SUFFIX"}])
def test_numbers_of_rows_become_the_classes_that_the_card_names(
    tmp_path: Path, server: HubServer, suffix: str, source: dict[str, str]
) -> None:
    def rows(first: int) -> bytes:
        found = [(f"text {n} of the hub", n % 2) for n in range(first, first + 30)]
        if suffix == "csv":
            return "\n".join(["text,label", *(f"{text},{label}" for text, label in found)]).encode()
        return "\n".join(json.dumps({"text": text, "label": label}) for text, label in found).encode()

    card = CLASSES.replace("csv", suffix).replace("{'0': kalt}", "{'0': cold, '1': 'warm, mild'}")
    files = {f"en/train-{n}.{suffix}": rows(100 * n) for n in range(2)}
    server.repos["org/rows"] = HubRepo({**files, "README.md": card.encode()})
    asked = {key: value.replace("SUFFIX", suffix) for key, value in source.items()}
    data = parsed(data={"source": asked}).data

    def resolved(endpoint: str | None, lock: Lock | None = None) -> ResolvedData:
        return resolved_rows.resolved(data, tmp_path, endpoint=endpoint, lock=lock)

    first = resolved(server.endpoint)
    assert first.labels == ("cold", "warm, mild")
    assert {row["label"] for row in first.rows_of("train")} == {*first.labels}
    said = [one.result for one in first.checks if one.name == "class names"]
    assert len(said) == 1
    assert said[0].endswith('`label` by the data set\'s card: cold, "warm, mild"')
    lock = Lock.model_construct(data=DataLock.model_construct(sources=first.sources))
    assert resolved(None, lock).labels == first.labels, "from the cache alone"
