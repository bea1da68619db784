"""Downloads against a server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.models.model import ResolvedModel, resolve_model
from ftc.spec.diagnostics import Diagnostic, Refusal, Span
from tests.support.hub_server import HubRepo, HubServer, hub_server
from tests.support.model_folder import CONFIG, SHAPES, model_files, safetensors_bytes

SPAN = Span("recipe.yaml", 3, 10, 3, 20)


@pytest.fixture
def server() -> Iterator[HubServer]:
    extra = {"modeling_evil.py": b"raise SystemExit", "pytorch_model.bin": b"\x80\x04.", "notes.pt": b"PK"}
    with hub_server({"org/tiny": HubRepo({**model_files(), **extra})}) as running:
        yield running


class World:
    """A project folder and a hub cache of one test."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.endpoint, self.cache = folder, endpoint, folder / "hub"

    def hub(self, offline: bool = False) -> Hub:
        return Hub(offline, self.cache, self.endpoint)

    def resolve(
        self,
        base: str = "org/tiny",
        revision: str | None = None,
        offline: bool = False,
        locked_commit: str | None = None,
    ) -> ResolvedModel:
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        return resolve_model(
            base,
            revision,
            locked_commit=locked_commit,
            folder=project,
            root=project,
            hub=self.hub(offline),
            digests=DigestCache(self.folder / "digests"),
            span_of=lambda path: SPAN,
        )

    def refused(self, base: str = "org/tiny", revision: str | None = None, offline: bool = False) -> Diagnostic:
        with pytest.raises(Refusal) as caught:
            self.resolve(base, revision, offline)
        (found,) = caught.value.diagnostics
        assert found.span == SPAN
        assert found.help
        return found


@pytest.fixture
def world(tmp_path: Path, server: HubServer) -> World:
    return World(tmp_path, server.endpoint)


def test_a_branch_becomes_a_commit_and_only_listed_files_are_fetched(world: World, server: HubServer) -> None:
    resolved = world.resolve()
    facts = resolved.facts
    assert (facts.source, facts.name, facts.commit) == ("hub", "org/tiny", "c" * 40)
    assert facts.license == "apache-2.0"
    assert "README.md" not in facts.files
    fetched = {path.rsplit("/", 1)[-1] for path in server.paths("GET") if "/resolve/" in path}
    assert fetched == set(model_files())
    assert not list(resolved.folder.glob("*.py"))


def test_a_second_call_asks_for_the_listing_alone(world: World, server: HubServer) -> None:
    first = world.resolve()
    server.requests.clear()
    assert world.resolve() == first
    assert [path for _, path in server.requests] == ["/api/models/org/tiny/revision/main"]


def test_offline_reads_the_cache_without_a_request(world: World, server: HubServer) -> None:
    first = world.resolve()
    server.requests.clear()
    assert world.resolve(offline=True) == first
    assert server.requests == []


def test_offline_without_the_files_says_so(world: World) -> None:
    assert world.refused(offline=True).code == "FTC318"


def test_a_pinned_commit_needs_no_hub_once_it_is_cached(world: World) -> None:
    first = world.resolve(revision="c" * 40)
    world.endpoint = "http://127.0.0.1:9"
    assert world.resolve(revision="c" * 40) == first
    assert world.refused().code == "FTC317"


def test_a_dropped_connection_is_resumed(world: World, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)  # what arrived is kept by whole chunks
    server.repos["org/tiny"].files["model.safetensors"] = content = safetensors_bytes(
        {**SHAPES, "model.layers.0.mlp.up_proj.weight": (1000, 100)}
    )
    server.cut_once.add("model.safetensors")
    resolved = world.resolve()
    assert (resolved.folder / "model.safetensors").read_bytes() == content
    assert server.ranges


@pytest.mark.parametrize(
    ("base", "revision", "code"),
    [
        ("org/absent", None, "FTC314"),
        ("org/tiny", "v9", "FTC316"),
        ("org/tiny", "d" * 40, "FTC316"),
    ],
)
def test_what_is_not_there(world: World, base: str, revision: str | None, code: str) -> None:
    assert world.refused(base, revision).code == code


def test_a_commit_of_the_lock_that_is_gone_says_so(world: World) -> None:
    gone = "d" * 40
    with pytest.raises(Refusal) as caught:
        world.resolve(locked_commit=gone)
    (found,) = caught.value.diagnostics
    assert found.code == "FTC316"
    assert f"the lock pins commit `{gone[:12]}`" in " ".join(found.notes)
    assert "delete the lock file" in found.help[0]
    assert "leave `revision` out" not in " ".join(found.help)


def test_a_gated_model_says_how_to_get_in_and_shows_no_token(
    world: World, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    server.repos["org/tiny"].gated = True
    found = world.refused()
    assert found.code == "FTC315"
    assert "hf auth login" in found.help[0]
    assert "xxxx" not in repr(found)
    assert not [file for file in world.folder.rglob("*") if file.is_file() and b"xxxx" in file.read_bytes()]


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "a\\..\\b.json", "x/../../y", "C:evil"])
def test_hostile_names_stop_before_any_download(world: World, server: HubServer, name: str) -> None:
    server.repos["org/tiny"].files[name] = b"{}"
    assert world.refused().code == "FTC319"
    assert server.paths("HEAD") == []


def test_an_index_that_names_a_foreign_file(world: World, server: HubServer) -> None:
    files = server.repos["org/tiny"].files
    del files["model.safetensors"]
    files["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../x.safetensors"}}'
    assert world.refused().code == "FTC319"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_changed_cache_is_noticed(world: World, name: str) -> None:
    file = (world.resolve().folder / name).resolve()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert world.refused().code == "FTC320"
    assert world.refused(offline=True).code == "FTC320"


def test_bytes_that_differ_from_the_listing_are_refused(world: World, server: HubServer) -> None:
    server.repos["org/tiny"].listed_sha256["model.safetensors"] = "a" * 64
    found = world.refused()
    assert found.code == "FTC320"


def test_pickles_alone_are_refused_before_any_download(world: World, server: HubServer) -> None:
    del server.repos["org/tiny"].files["model.safetensors"]
    assert world.refused().code == "FTC303"
    assert server.paths("HEAD") == []


def test_code_in_the_configuration_stops_before_the_weights(world: World, server: HubServer) -> None:
    server.repos["org/tiny"].files["config.json"] = json.dumps({**CONFIG, "auto_map": {"AutoModel": "x.Y"}}).encode()
    assert world.refused().code == "FTC310"
    assert not [path for path in server.paths("GET") if path.endswith(".safetensors")]


def test_an_adapter_is_no_base(world: World, server: HubServer) -> None:
    server.repos["org/tiny"] = HubRepo({"adapter_config.json": b"{}", "adapter_model.safetensors": b""})
    assert world.refused().code == "FTC312"


def test_a_data_set_file(world: World, server: HubServer) -> None:
    server.repos["org/rows"] = HubRepo({"data/train.csv": b"a,b\n1,2\n"})
    digests = DigestCache(world.folder / "digests")
    found = world.hub().dataset_file("org/rows", None, "data/train.csv", digests, lambda path: SPAN)
    assert found.path.read_bytes() == b"a,b\n1,2\n"
    assert (found.commit, found.facts.size) == ("c" * 40, 8)
    again = world.hub(offline=True).dataset_file("org/rows", None, "data/train.csv", digests, lambda path: SPAN)
    assert again == found
    with pytest.raises(Refusal) as caught:
        world.hub().dataset_file("org/rows", None, "data/trian.csv", digests, lambda path: SPAN)
    assert caught.value.diagnostics[0].help == ("did you mean `data/train.csv`?",)


def test_the_environment_switches_it_offline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert world.refused().code == "FTC318"
