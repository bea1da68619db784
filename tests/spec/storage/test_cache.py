"""The door to the cache: what an entry says counts only under its own key, and from whoever has the secret."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftc.spec.storage.cache import Cache, take_distrusted

KEY = {"kind": "test", "made_from": ["a", 1]}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("FTC_CACHE_KEY", str(tmp_path / "state" / "cache.key"))
    take_distrusted()
    return Cache(tmp_path / "cache")


def test_what_was_kept_is_recalled(cache: Cache) -> None:
    value = {"number": 1, "text": "é\ud800", "none": None, "list": [True]}
    cache.keep("a.json", KEY, value)
    assert cache.recall("a.json", KEY) == value
    assert cache.recall("absent.json", KEY) is None
    assert take_distrusted() == {}


def test_an_entry_that_the_disk_refuses_leaves_nothing(cache: Cache) -> None:
    (cache.folder / "a.json" / "in the way").mkdir(parents=True)
    cache.keep("a.json", KEY, [1])
    assert [file.name for file in cache.folder.iterdir()] == ["a.json"]
    assert cache.recall("a.json", KEY) is None


@pytest.mark.parametrize("field", ["value", "mac", "key"])
def test_an_edited_entry_is_an_absent_one(cache: Cache, field: str) -> None:
    cache.keep("a.json", KEY, [1])
    file = cache.folder / "a.json"
    entry = json.loads(file.read_bytes())
    file.write_text(json.dumps({**entry, field: [2]}))
    assert cache.recall("a.json", KEY) is None
    assert list(take_distrusted()) == [str(file)]


def test_an_entry_under_the_name_of_another_is_an_absent_one(cache: Cache) -> None:
    cache.keep("a.json", KEY, [1])
    (cache.folder / "b.json").write_bytes((cache.folder / "a.json").read_bytes())
    assert cache.recall("b.json", {**KEY, "made_from": ["b", 1]}) is None
    assert take_distrusted()


def test_another_users_cache_is_an_empty_one(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep("a.json", KEY, [1])
    monkeypatch.setenv("FTC_CACHE_KEY", str(tmp_path / "another.key"))
    assert cache.recall("a.json", KEY) is None
    assert take_distrusted()


def test_an_entry_of_an_earlier_release_or_a_torn_one_is_absent_without_a_word(cache: Cache) -> None:
    cache.keep("a.json", KEY, [1])
    file = cache.folder / "a.json"
    for content in (b'{"stamp": [1], "sha256": "0"}', file.read_bytes()[:30], b"[" * 100_000, b"\xff", b"[1]"):
        file.write_bytes(content)
        assert cache.recall("a.json", KEY) is None
    assert take_distrusted() == {}


def test_the_secret_is_made_once_and_is_its_owners_alone(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(8) as pool:  # whoever is first
        list(pool.map(lambda number: cache.keep(f"{number}.json", KEY, number), range(32)))
    assert [cache.recall(f"{number}.json", KEY) for number in range(32)] == list(range(32))
    file = tmp_path / "state" / "cache.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["cache.key"]


@pytest.mark.parametrize("place", ["/proc/no/such/place", ""])
def test_without_a_place_for_the_secret_nothing_is_believed_later(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from ftc.spec.storage.cache import _secret

    short = tmp_path / "short.key"
    short.write_bytes(b"guess")
    monkeypatch.setenv("FTC_CACHE_KEY", place or str(short))
    cache.keep("a.json", KEY, [1])
    assert cache.recall("a.json", KEY) == [1], "this process knows its own"
    _secret.cache_clear()  # as another process would be
    assert cache.recall("a.json", KEY) is None
    why = take_distrusted().get(str(short), "")
    assert ("could be guessed" in why) == (not place), "a secret that isn't used is named"
