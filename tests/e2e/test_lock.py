"""`ftc lock`: what makes a lock stale and what doesn't, what may move, and what git makes of two branches."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.spec import canonical
from ftc.spec.documents.lockfile import Lock, sealed
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.projects import contents

LOCK = "recipe.lock.json"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def read(root: Path) -> Lock:
    return Lock.model_validate_json((root / LOCK).read_bytes())


def write(root: Path, lock: Lock) -> None:
    (root / LOCK).write_text(sealed(lock).to_text())


@pytest.fixture
def root(project: MakeProject, ftc: Ftc) -> Path:
    """A project with its lock."""
    root = project()
    assert ftc("lock", "recipe.yaml").code == 0
    return root


def shuffle_header(file: Path) -> None:
    """The same tensors in a file of other bytes: remarks, and the order of names and of data."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(file)
    before = file.read_bytes()
    save_file(dict(reversed(tensors.items())), file, metadata={"format": "pt", "remark": "another hand"})
    assert file.read_bytes() != before


def split_weights(folder: Path) -> None:
    """The same tensors in two files with an index."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / shard, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


HARMLESS: dict[str, Callable[[Path], None]] = {
    "comment": lambda root: edit(root / "recipe.yaml", "ftc: 1", "# Weekly.\nftc: 1"),
    "cosmetic": lambda root: edit(root / "recipe.yaml", "name: tiny", "name: small"),
    "budget": lambda root: edit(root / "recipe.yaml", "threads: 1", "threads: 1, time: 9h"),
    "touch": lambda root: os.utime(root / "rows.csv"),
    "header": lambda root: shuffle_header(root / "encoder" / "model.safetensors"),
    "shards": lambda root: split_weights(root / "encoder"),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_what_changes_nothing_makes_nothing_stale(root: Path, ftc: Ftc, change: str) -> None:
    before = (root / LOCK).read_bytes()
    HARMLESS[change](root)
    checked = ftc("lock", "recipe.yaml", "--check")
    assert (checked.code, checked.err) == (0, "")
    assert "up to date" in checked.out
    assert ftc("lock", "recipe.yaml").code == 0
    assert (root / LOCK).read_bytes() == before


def test_rows_that_teach_nothing_under_another_template_name_the_template(project: MakeProject, ftc: Ftc) -> None:
    root = project("chat")
    assert ftc("lock", "recipe.yaml").code == 0
    file = root / "decoder" / "tokenizer_config.json"
    plain = json.loads(file.read_bytes())
    file.write_text(json.dumps(plain | {"chat_template": "{{ messages[0].content }}"}))
    refused = ftc("lock", "recipe.yaml", "--check")
    assert refused.code == 3, refused.text
    assert "the model's chat template is not the locked one" in refused.text
    assert "`tokenizer_config.json` is not the locked file: `chat_template`, character 2" in refused.text


STALE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of a row": (lambda root: edit(root / "rows.csv", "n3,", "n4,"), "data.sources.rows.rows_sha256"),
    "a value": (lambda root: edit(root / "recipe.yaml", "rank: 4", "rank: 8"), "train.asked.strategy.rank: 4 → 8"),
    "the tokenizer": (
        lambda root: edit(root / "encoder" / "tokenizer_config.json", '_length": 64', '_length": 63'),
        "text.tokenizer_files.tokenizer_config.json",
    ),
    "a package": (
        lambda root: write(root, _with_package(read(root), "torch", version="1.0")),
        ".packages.torch.version: 1.0 → ",
    ),
}


def _with_package(lock: Lock, name: str, **changes: Any) -> Lock:
    ((tag, here),) = lock.platforms.items()
    packages = {**here.packages, name: here.packages[name].model_copy(update=changes)}
    return lock.model_copy(update={"platforms": {tag: here.model_copy(update={"packages": packages})}})


@pytest.mark.parametrize("change", STALE)
def test_what_makes_it_stale(root: Path, ftc: Ftc, change: str) -> None:
    act, words = STALE[change]
    act(root)
    before = contents(root)
    checked = ftc("lock", "recipe.yaml", "--check")
    assert (checked.code, "[FTC503]" in checked.err) == (2, True), checked.err
    assert words in checked.text
    assert contents(root) == before, "a check writes nothing"
    written = ftc("lock", "recipe.yaml")
    assert written.code == 0, written.err
    assert words in written.text
    assert ftc("lock", "recipe.yaml", "--check").code == 0


def test_a_shuffled_file_is_told_from_a_changed_one(root: Path, ftc: Ftc) -> None:
    head, *rows = (root / "rows.csv").read_text().splitlines(keepends=True)
    (root / "rows.csv").write_text("".join([head, *reversed(rows)]))
    checked = ftc("lock", "recipe.yaml", "--check")
    assert checked.code == 2
    assert "rows_sha256" in checked.text
    assert "rows_unordered_sha256" not in checked.text


def test_there_is_no_lock_to_check(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    checked = ftc("lock", "recipe.yaml", "--check")
    assert (checked.code, "there is no lock" in checked.err) == (2, True)
    assert not (root / LOCK).exists()


def test_a_job_too_large_for_this_machine_is_locked_all_the_same(project: MakeProject, ftc: Ftc) -> None:
    root = project()
    edit(root / "recipe.yaml", "threads: 1", "threads: 1, vram: 1KiB")
    assert ftc("plan", "recipe.yaml").code == 4
    assert ftc("lock", "recipe.yaml").code == 0
    assert (root / LOCK).exists()


def test_only_the_named_package_moves(root: Path, ftc: Ftc) -> None:
    real = read(root)
    write(root, _with_package(_with_package(real, "torch", version="1.0"), "peft", version="0.1"))
    assert ftc("lock", "recipe.yaml", "--upgrade-package", "torch").code == 0
    (now,), (then,) = read(root).platforms.values(), real.platforms.values()
    assert now.packages["torch"] == then.packages["torch"]
    assert now.packages["peft"].version == "0.1"


def test_what_the_lock_does_not_pin(root: Path, ftc: Ftc) -> None:
    before = contents(root)
    refused = ftc("lock", "recipe.yaml", "--upgrade-package", "left-pad")
    assert (refused.code, "[FTC505]" in refused.err) == (64, True)
    assert "model, rows" in refused.text
    assert contents(root) == before


def test_a_machine_that_cannot_train_leaves_the_packages_alone(
    root: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ftc.compiler.resolve.machine.environment import resolve_environment

    here = resolve_environment()
    light = {name: package for name, package in here.packages.items() if name != "torch"}
    poorer = here.model_copy(update={"packages": light, "missing": ("torch",)})
    monkeypatch.setattr("ftc.compiler.pipeline.environment_of", lambda *_, **__: poorer)
    before = (root / LOCK).read_bytes()
    checked = ftc("lock", "recipe.yaml", "--check")
    assert checked.code == 0, checked.err
    assert "not checked: the packages of" in checked.text
    assert ftc("lock", "recipe.yaml").code == 0
    assert (root / LOCK).read_bytes() == before


def older(lock: Lock) -> dict[str, Any]:
    """The lock as the format before this one had it."""
    plain = lock.to_json()
    sections = {name: plain[name] for name in ("model", "text", "data", "train", "platforms")}
    for name in ("model", "text", "data", "train"):
        del sections[name]["seal"], sections[name]
        sections[name] = plain[name]
    for name in ("header_sha256", "content_sha256", "settings"):
        del sections["model"][name]
    for name in ("render_probe_sha256", "tokenizer_probe_sha256", "special_tokens", "settings"):
        del sections["text"][name]
    sections["text"] |= {"max_length": 32, "labels": []}
    for source in sections["data"]["sources"].values():
        del source["rows_unordered_sha256"]
    for platform in sections["platforms"].values():
        del platform["seal"]
    return {"schema": "ftc.lock/1", **sections, "seals": {name: canonical.digest(sections[name]) for name in sections}}


def test_an_older_format_is_migrated_when_asked(root: Path, ftc: Ftc) -> None:
    before = (root / LOCK).read_bytes()
    lock = read(root)
    other = next(iter(lock.platforms.values())).model_copy(update={"platform": "plan9"})
    old = older(lock.model_copy(update={"platforms": {**lock.platforms, "plan9": other}}))
    (root / LOCK).write_text(canonical.to_text(old))
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC504]" in refused.err, "--migrate" in refused.err) == (2, True, True)
    assert ftc("lock", "recipe.yaml", "--migrate").code == 0
    assert set(read(root).platforms) == {*lock.platforms, "plan9"}
    assert read(root).model_copy(update={"platforms": lock.platforms}).to_text().encode() == before

    old["model"]["commit"] = "d" * 40
    (root / LOCK).write_text(canonical.to_text(old))
    edited = ftc("lock", "recipe.yaml", "--migrate")
    assert (edited.code, "[FTC502]" in edited.err) == (6, True)


def git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", *words], cwd=root, env=env, capture_output=True, text=True, check=False)


def commit(root: Path, message: str) -> None:
    git(root, "add", "recipe.yaml", "rows.csv", "encoder", LOCK)
    assert git(root, "commit", "-qm", message).returncode == 0


def on_branch(root: Path, ftc: Ftc, name: str, change: Callable[[], None]) -> None:
    git(root, "checkout", "-qb", name, "main")
    change()
    assert ftc("lock", "recipe.yaml").code == 0
    commit(root, name)


def test_branches_that_touch_different_sections_merge(root: Path, ftc: Ftc) -> None:
    git(root, "init", "-qb", "main")
    commit(root, "start")
    on_branch(root, ftc, "rank", lambda: edit(root / "recipe.yaml", "rank: 4", "rank: 8"))
    on_branch(root, ftc, "rows", lambda: edit(root / "rows.csv", "n3,", "n4,"))
    on_branch(root, ftc, "template", lambda: edit(root / "encoder" / "tokenizer_config.json", "64", "63"))
    for other in ("rank", "rows"):
        merged = git(root, "merge", "-q", "--no-edit", other)
        assert merged.returncode == 0, merged.stdout
    assert read(root).broken_seals() == ()
    checked = ftc("lock", "recipe.yaml", "--check")
    assert checked.code == 0, checked.err

    on_branch(root, ftc, "other rank".replace(" ", "-"), lambda: edit(root / "recipe.yaml", "rank: 4", "rank: 16"))
    conflict = git(root, "merge", "--no-edit", "rank")
    assert "CONFLICT" in conflict.stdout
    git(root, "checkout", "--ours", "recipe.yaml")
    marked = ftc("plan", "recipe.yaml")
    assert (marked.code, "unresolved merge markers" in marked.text) == (6, True)
