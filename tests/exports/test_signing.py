"""Signatures over runs and folders: what is signed holds, and every change is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.spec.diagnostics import Refusal
from ftc.verbs.runs import Run
from tests.support.keys import Keys, make_keys

pytest.importorskip("model_signing")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path, "ours")


def refusal(run: Run | Path, keys: Keys) -> str:
    with pytest.raises(Refusal) as caught:
        api.verify(run, key=keys.public)
    (found,) = caught.value.diagnostics
    return f"{found.code}: {found.summary}; {'; '.join(found.notes)}"


def test_a_signed_run_holds_for_us_and_for_the_library(
    run: Run, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    from model_signing import verifying

    configured: Any = verifying.Config  # some releases of the library have types
    assert main(["sign", run.record.id, "--key", str(keys.private)]) == 0
    assert "5 files" in capsys.readouterr().out
    assert main(["verify", str(run.folder), "--key", str(keys.public), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], "checkpoints" in found["not_covered"]) == (5, True)
    config = configured().use_elliptic_key_verifier(public_key=keys.public)
    config.verify(run.folder, run.folder / "model.sig")


def test_every_change_is_named_and_what_a_run_no_longer_needs_may_go(run: Run, keys: Keys) -> None:
    api.sign(run, key=keys.private)
    state = run.folder / "checkpoints" / "step-00000162" / "state.json"
    state.unlink()
    assert api.verify(run, key=keys.public).files == 5
    config = run.folder / "adapter" / "adapter_config.json"
    config.write_text("[]", encoding="utf-8")
    (run.folder / "adapter" / "more.json").touch()
    (run.folder / "eval.json").unlink()
    said = refusal(run, keys)
    assert said.startswith("FTC542")
    for words in (
        "`eval.json` is missing",
        "`adapter/more.json` was added",
        "`adapter/adapter_config.json` was changed",
    ):
        assert words in said


def test_another_key_another_signature_and_none(run: Run, keys: Keys, tmp_path: Path) -> None:
    other = make_keys(tmp_path, "theirs")
    assert refusal(run, keys).startswith("FTC541")
    api.sign(run.folder / "adapter", key=other.private)
    assert "Key mismatch" in refusal(run.folder / "adapter", keys)
    signature = run.folder / "adapter" / "model.sig"
    said = json.loads(signature.read_text(encoding="utf-8"))
    said["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    signature.write_text(json.dumps(said), encoding="utf-8")
    assert "was not made with this key" in refusal(run.folder / "adapter", other)
    for text in ("{}", "[" * 10_000, '{"dsseEnvelope": {"payload": "bm8="}}'):
        signature.write_text(text, encoding="utf-8")
        assert "not in OpenSSF model signing format" in refusal(run.folder / "adapter", other)


def test_a_run_that_is_not_what_its_record_says_is_not_signed(run: Run, keys: Keys) -> None:
    (run.folder / "eval.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Refusal, match="FTC521"):
        api.sign(run, key=keys.private)
    assert not (run.folder / "model.sig").exists()


def test_what_is_no_key(run: Run, keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.pem").write_text("none", encoding="utf-8")
    for key in ("none.pem", str(keys.public)):
        assert main(["sign", run.record.id, "--key", key]) == 64
        assert "[FTC540]" in capsys.readouterr().err
    assert main(["sign", run.record.id, "--key", "absent.pem"]) == 1
    assert "error: absent.pem: " in capsys.readouterr().err


def test_links_and_emptiness_are_not_signed(keys: Keys, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(Refusal, match="FTC543"):
        api.sign(folder, key=keys.private)
    (folder / "link").symlink_to(keys.public)
    with pytest.raises(Refusal, match="FTC543"):
        api.sign(folder, key=keys.private)
