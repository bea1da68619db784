"""A saved plan in one file: unpacked without rows it gives the same run, and damaged it gives nothing at all."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ftc import api
from ftc.spec import canonical
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.package import Package, is_plain
from ftc.spec.documents.plan import Plan
from ftc.spec.storage.plain_tar import END, header, padding
from tests.e2e.conftest import Ftc
from tests.support.projects import contents, make_project

Files = dict[str, bytes]


@dataclass(frozen=True)
class Packed:
    """A project whose plan was packed, with the cache that has its token streams."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "project"

    @property
    def plan(self) -> Path:
        return self.root / "job.plan.json"

    @property
    def package(self) -> Path:
        return self.folder / "job.tar"

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Uses its cache and its secret."""
        patch.setenv("FTC_CACHE", str(self.folder / "cache"))
        patch.setenv("FTC_CACHE_KEY", str(self.folder / "secret"))

    def copied(self, folder: Path) -> Packed:
        shutil.copytree(self.folder, folder)
        return Packed(folder)


@pytest.fixture(scope="module")
def packed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    made = Packed(tmp_path_factory.mktemp("packed"))
    make_project(made.root, models, "classification", steps=4)
    with pytest.MonkeyPatch.context() as patch:
        made.enter(patch)
        api.save_plan(api.plan(made.root / "recipe.yaml"), made.plan)
        api.pack(made.plan, made.package)
    return made


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a cache and a secret of its own, as on another machine."""
    monkeypatch.setenv("FTC_CACHE_KEY", str(tmp_path / "secret"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def _codes(refused: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [one.code for one in refused.value.diagnostics]


@pytest.mark.slow
def test_a_package_gives_the_same_run_without_rows(
    packed: Packed, elsewhere: Path, tmp_path: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        origin = packed.copied(tmp_path / "origin")
        origin.enter(here)
        before = api.apply(origin.plan)
    done = ftc("unpack", packed.package, "--expect", before.plan.sha256[:12])
    assert (done.code, "ftc apply" in done.text) == (0, True), done.err
    assert not list(elsewhere.rglob("rows.csv"))
    applied = ftc("apply", "tiny/job.plan.json", "--expect", before.plan.sha256[:12])
    assert applied.code == 0, applied.err
    after = api.find_run("tiny", elsewhere / "tiny")
    assert after.record.id == before.record.id
    assert after.record.final_weights_sha256 == before.record.final_weights_sha256
    predicted = "predictions.ndjson"
    assert (after.folder / predicted).read_bytes() == (before.folder / predicted).read_bytes()
    assert (after.folder / "recipe.yaml").read_bytes() == (packed.root / "recipe.yaml").read_bytes()
    audited = ftc("audit", "tiny/runs/tiny/" + after.record.id)
    assert (audited.code, "rows.csv" in audited.text) == (8, True), "what is not here is named, and no forgery"
    again = ftc("apply", "tiny/job.plan.json")
    assert (again.code, "up to date" in again.out) == (0, True)


def test_a_package_has_no_data_file_and_two_are_equal(packed: Packed, tmp_path: Path, ftc: Ftc) -> None:
    with tarfile.open(packed.package) as read:
        names = read.getnames()
        assert all(one.isreg() for one in read)
    assert "project/rows.csv" not in names
    assert {"project/recipe.yaml", "project/recipe.lock.json", "project/encoder/model.safetensors"} < {*names}
    with pytest.MonkeyPatch.context() as patch:
        packed.enter(patch)
        for _ in range(2):  # its own package is replaced
            assert ftc("pack", packed.plan, "-o", tmp_path / "again.tar").code == 0
        bare = ftc("pack", packed.plan, "-o", tmp_path / "bare.tar", "--models", "none", "--json")
    assert (tmp_path / "again.tar").read_bytes() == packed.package.read_bytes()
    assert json.loads(bare.out)["left_out"] == ["./encoder"]
    with tarfile.open(tmp_path / "bare.tar") as read:
        assert not [name for name in read.getnames() if "encoder" in name]
    lacking = ftc("unpack", tmp_path / "bare.tar")
    assert (lacking.code, "the model `./encoder`" in lacking.text) == (0, True)
    refused = ftc("apply", "tiny/job.plan.json")
    assert (refused.code, "FTC704" in refused.err, "--models all" in refused.text) == (6, True, True)


def test_it_is_unpacked_once_and_what_is_there_is_compared(packed: Packed, elsewhere: Path, ftc: Ftc) -> None:
    assert ftc("unpack", packed.package).code == 0
    before = contents(elsewhere)
    again = ftc("unpack", packed.package, "--json")
    assert (again.code, json.loads(again.out)["status"]) == (0, "up to date")
    assert contents(elsewhere) == before
    (elsewhere / "tiny" / "encoder" / "config.json").unlink()
    assert json.loads(ftc("unpack", packed.package, "--json").out)["status"] == "unpacked"
    assert contents(elsewhere) == before


@pytest.mark.slow
def test_the_adapter_that_is_trained_further_comes_with_it(packed: Packed, tmp_path: Path, ftc: Ftc) -> None:
    origin = packed.copied(tmp_path / "origin")
    text = (origin.root / "recipe.yaml").read_text()
    (origin.root / "second.yaml").write_text(
        text.replace("./encoder", "run:tiny").replace("name: tiny", "name: second")
    )
    with pytest.MonkeyPatch.context() as patch:
        origin.enter(patch)
        first = api.apply(origin.root / "recipe.yaml")
        api.save_plan(api.plan(origin.root / "second.yaml"), origin.root / "second.plan.json")
        api.pack(origin.root / "second.plan.json", tmp_path / "second.tar")
    api.unpack(tmp_path / "second.tar")
    assert (Path("second/runs/tiny") / first.record.id / "adapter" / "adapter_model.safetensors").is_file()
    assert ftc("apply", "second/second.plan.json").code == 0


def test_files_that_a_recipe_extends_come_with_it(packed: Packed, tmp_path: Path, ftc: Ftc) -> None:
    origin = packed.copied(tmp_path / "origin")
    (origin.root / "shared").mkdir()
    recipe = origin.root / "recipe.yaml"
    recipe.rename(origin.root / "shared" / "base.yaml")
    moved = (origin.root / "shared" / "base.yaml").read_text().replace("rows.csv", "../rows.csv")
    (origin.root / "shared" / "base.yaml").write_text(moved.replace("./encoder", "../encoder"))
    recipe.write_text("ftc: 1\nextends: shared/base.yaml\nname: tiny\n")
    with pytest.MonkeyPatch.context() as patch:
        origin.enter(patch)
        planned = api.plan(recipe, overrides=["train.learning_rate=5e-4"])
        api.save_plan(planned, origin.plan)
        api.pack(origin.plan, tmp_path / "layered.tar")
    assert api.unpack(tmp_path / "layered.tar").status == "unpacked"
    assert Path("tiny/shared/base.yaml").read_text() == (origin.root / "shared" / "base.yaml").read_text()
    Path("tiny/shared/base.yaml").write_text(moved.replace("rank: 4", "rank: 8"))
    stale = ftc("apply", "tiny/job.plan.json")
    assert (stale.code, "FTC512" in stale.err) == (5, True)


@pytest.mark.parametrize(
    "path", ["/a", "a//b", "./a", "../a", "a/../b", ".a", "a/.b", "a\\b", "c:a", "a ", "a.", "a\n"]
)
def test_odd_paths_are_in_no_package(path: str) -> None:
    assert not is_plain(path)
    assert is_plain("recipes/demo/bbc-news.yaml")


def _read(package: Path) -> Files:
    with tarfile.open(package) as read:
        return {one.name: (read.extractfile(one) or io.BytesIO()).read() for one in read}


def _write(files: Files, target: Path, *, order: list[str] | None = None) -> None:
    """Writes a package, whose list says what is in it, as somebody would who knows how packages are made."""
    listed = json.loads(files.pop("package.json"))
    listed["files"] = {
        name: {"size": len(one), "sha256": hashlib.sha256(one).hexdigest()} for name, one in files.items()
    }
    text = canonical.to_text(listed).encode()
    names = order or list(Package.model_construct(plan=listed["plan"], files=listed["files"]).order)
    parts = [("package.json", text), *((name, files[name]) for name in names)]
    target.write_bytes(b"".join(header(name, len(one)) + one + padding(len(one)) for name, one in parts) + END)


def _without(name: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        del files[name]

    return change


def _change(name: str, old: bytes, new: bytes) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return change


FORGED: dict[str, Callable[[Files], None]] = {
    "a path that leads out": lambda files: files.update({"project/../outside.json": b"{}"}),
    "an absolute path": lambda files: files.update({"/etc/ftc.json": b"{}"}),
    "an absolute path behind the project's": lambda files: files.update({"project//etc/ftc.json": b"{}"}),
    "a path in another spelling": lambda files: files.update({"project/./ftc.json": b"{}"}),
    "a hidden file": lambda files: files.update({"project/.bashrc": b"true"}),
    "a hidden folder": lambda files: files.update({"project/.git/hooks/pre-commit": b"true"}),
    "a program": lambda files: files.update({"project/sitecustomize.py": b"pass"}),
    "site settings": lambda files: files.update({"project/ftc.launch.yaml": b"ftc_launch: 1\n"}),
    "a file beside the streams": lambda files: files.update({"streams/more.arrow": b"x"}),
    "a file in no part": lambda files: files.update({"other/x.json": b"{}"}),
    "other weights": _change("project/encoder/model.safetensors", b"F32", b"I32"),
    "another recipe": _change("project/recipe.yaml", b"max_steps: 4", b"max_steps: 5"),
    "another lock": _change("project/recipe.lock.json", b"apache-2.0", b"mit"),
    "an edited plan": _change("project/job.plan.json", b'"max_grad_norm": "1.0"', b'"max_grad_norm": "2.0"'),
    "no recipe": _without("project/recipe.yaml"),
    "no streams": _without("streams/train.arrow"),
    "another stream": lambda files: files.update({"streams/train.arrow": files["streams/test.arrow"]}),
    "streams of other rows": _change("streams.json", b'"made_from"', b'"made_of"'),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_the_plan_does_not_name_is_refused(how: str, packed: Packed, elsewhere: Path, tmp_path: Path) -> None:
    files = _read(packed.package)
    FORGED[how](files)
    _write(files, tmp_path / "forged.tar")
    with pytest.raises(Refusal) as refused:
        api.unpack(tmp_path / "forged.tar")
    assert _codes(refused)[0] in {"FTC712", "FTC511", "FTC512"}
    assert (contents(elsewhere), (tmp_path / "cache" / "streams").exists()) == ({}, False)
    assert not (tmp_path / "outside.json").exists()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_plan_that_names_a_place_elsewhere_writes_nothing_there(
    hidden: bool, packed: Packed, elsewhere: Path, tmp_path: Path
) -> None:
    files = _read(packed.package)
    place = ".git/recipe.yaml" if hidden else f"{tmp_path}/outside/recipe.yaml"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "recipe.yaml").write_bytes(files["project/recipe.yaml"])
    plan = Plan.model_validate_json(files["project/job.plan.json"]).model_copy(update={"recipe_file": place}).sealed()
    for name in ("recipe.yaml", "recipe.lock.json"):
        files[f"project/{place.replace('recipe.yaml', name)}"] = files.pop(f"project/{name}")
    files["project/job.plan.json"] = plan.to_text().encode()
    listed = {**json.loads(files["package.json"]), "plan_sha256": plan.sha256, "job_sha256": plan.job_sha256()}
    files["package.json"] = json.dumps(listed).encode()
    _write(files, tmp_path / "forged.tar")
    with pytest.raises(Refusal) as refused:
        api.unpack(tmp_path / "forged.tar")
    assert _codes(refused) == ["FTC712"]
    assert [one.name for one in (tmp_path / "outside").iterdir()] == ["recipe.yaml"]
    assert contents(elsewhere) == {}


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _link(data: bytes) -> bytes:
    """The header of the model's configuration becomes a link to another file."""
    name = b"project/encoder/config.json"
    at = data.index(name + b"\0")
    link = tarfile.TarInfo(name.decode())
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return data[:at] + link.tobuf(tarfile.GNU_FORMAT) + data[at + 512 :]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_cut, "FTC712"),
        (_flipped, "FTC712"),
        (_link, "FTC712"),
        (lambda data: data[:-1], "FTC712"),
        (lambda data: data + b"\0", "FTC712"),
        (lambda data: data[:700], "FTC712"),
        (lambda data: b"", "FTC712"),
        (lambda data: b"PK" + data, "FTC712"),
    ],
    ids=["half", "a bit", "a link", "a byte less", "a byte more", "half a list", "empty", "another format"],
)
def test_a_damaged_package_leaves_nothing(
    damage: Callable[[bytes], bytes], code: str, packed: Packed, elsewhere: Path, tmp_path: Path, ftc: Ftc
) -> None:
    (tmp_path / "damaged.tar").write_bytes(damage(packed.package.read_bytes()))
    refused = ftc("unpack", tmp_path / "damaged.tar")
    assert (refused.code, f"[{code}]" in refused.err) == (6, True), refused.err
    assert (contents(elsewhere), (tmp_path / "cache" / "streams").exists()) == ({}, False)


def test_files_in_the_way_stay(packed: Packed, elsewhere: Path, tmp_path: Path, ftc: Ftc) -> None:
    (elsewhere / "tiny").mkdir()
    (elsewhere / "tiny" / "recipe.yaml").write_text("mine\n")
    before = contents(elsewhere)
    refused = ftc("unpack", packed.package)
    assert (refused.code, "FTC651" in refused.err, contents(elsewhere)) == (1, True, before)
    (elsewhere / "tiny" / "recipe.yaml").unlink()
    (tmp_path / "mine").mkdir()
    (elsewhere / "tiny" / "encoder").symlink_to(tmp_path / "mine")
    refused = ftc("unpack", packed.package)
    assert (refused.code, "is a link" in refused.text, list((tmp_path / "mine").iterdir())) == (1, True, [])
    (elsewhere / "file").touch()
    assert "FTC651" in ftc("unpack", packed.package, "file").err
    assert "FTC653" in ftc("unpack", packed.package, "nowhere/job").err
    refused = ftc("unpack", packed.package, "other", "--expect", "0" * 12)
    assert (refused.code, "FTC700" in refused.err, (elsewhere / "other").exists()) == (5, True, False)
    short = api.load_plan(packed.plan).sha256[:7]
    assert "at least 8 characters" in ftc("unpack", packed.package, "other", "--expect", short).text


def test_force_replaces_a_file_that_is_no_package(packed: Packed, ftc: Ftc, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.tar").write_text("mine")
    packed.enter(monkeypatch)
    refused = ftc("pack", str(packed.plan), "-o", "mine.tar")
    assert (refused.code, "--force" in refused.text, Path("mine.tar").read_text()) == (1, True, "mine")
    done = ftc("pack", str(packed.plan), "-o", "mine.tar", "--force")
    assert (done.code, Path("mine.tar").read_bytes()) == (0, packed.package.read_bytes()), done.err


def test_a_plan_takes_no_streams_of_a_package_for_its_own(
    packed: Packed, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package may come from a stranger: only its own plan uses its streams, and rows are tokenized again."""
    api.unpack(packed.package)
    (streams,) = (tmp_path / "cache" / "streams").iterdir()
    assert not (streams / "manifest.json").exists()
    shutil.copyfile(packed.root / "rows.csv", "tiny/rows.csv")
    planned = api.plan("tiny/recipe.yaml", keep_lock=True)
    assert planned.plan.stream_key == streams.name
    assert (streams / "manifest.json").exists()
    assert not (streams / "unpacked.json").exists()
    assert api.unpack(packed.package).status == "up to date"


def test_an_unpacked_plan_is_run_by_whoever_unpacked_it(
    packed: Packed, elsewhere: Path, tmp_path: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.unpack(packed.package)
    recipe = elsewhere / "tiny" / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("max_steps: 4", "max_steps: 5"))
    stale = ftc("apply", "tiny/job.plan.json")
    assert (stale.code, "FTC512" in stale.err) == (5, True)
    recipe.write_text(text)
    monkeypatch.setenv("FTC_CACHE_KEY", str(tmp_path / "another"))
    refused = ftc("apply", "tiny/job.plan.json")
    assert (refused.code, "FTC713" in refused.err) == (6, True), refused.err


@pytest.mark.parametrize("change", ["weights", "streams", "recipe"])
def test_what_has_changed_is_not_packed(
    change: str, packed: Packed, tmp_path: Path, ftc: Ftc, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = packed.copied(tmp_path / "origin")
    origin.enter(monkeypatch)
    root = origin.root
    (stream,) = origin.folder.glob("cache/streams/*/train.arrow")
    file = {"weights": root / "encoder" / "model.safetensors", "streams": stream, "recipe": root / "recipe.yaml"}[
        change
    ]
    old, new = {"recipe": (b"rank: 4", b"rank: 8")}.get(change, (b"\0", b"\1"))
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    refused = ftc("pack", root / "job.plan.json", "-o", tmp_path / "new.tar")
    lost = {"streams": "token streams", "weights": "`encoder/model.safetensors` is not the file"}
    words = f"error[FTC711]: the plan's {lost[change]}" if change == "streams" else lost.get(change, "error[FTC512]")
    assert (words in refused.text, (tmp_path / "new.tar").exists()) == (True, False), refused.err


def test_the_cache_has_to_have_room_as_well(
    packed: Packed, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == elsewhere.stat().st_dev:
        pytest.skip("this machine has one disk")
    with tempfile.TemporaryDirectory(dir=other) as cache:
        monkeypatch.setenv("FTC_CACHE", cache)
        known = shutil.disk_usage
        full = known(cache)._replace(free=10)
        monkeypatch.setattr(shutil, "disk_usage", lambda place: full if str(place).startswith(cache) else known(place))
        with pytest.raises(Refusal, match="token streams need") as refused:
            api.unpack(packed.package)
        assert _codes(refused) == ["FTC663"]
        assert list(elsewhere.iterdir()) == [], "nothing was unpacked"
        monkeypatch.setattr(shutil, "disk_usage", known)
        assert api.unpack(packed.package).status == "unpacked"
