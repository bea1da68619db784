from __future__ import annotations

from pathlib import Path

from ftc.spec.documents.machine import MachineClass, snapshot_code
from tests.support import documents


def machine(**changes: object) -> MachineClass:
    return documents.record(documents.plan()).observed.machine.model_copy(update=changes)


def test_what_differs_between_two_classes_is_named() -> None:
    other = machine(threads=9, vector_flags=("avx", "fma"), math={"deterministic_algorithms": "false"}, variables={})
    assert list(machine().differences(machine())) == []
    assert list(machine().differences(other)) == [
        ("vector_flags", "avx2", "none"),
        ("threads", "8", "9"),
        ("math.deterministic_algorithms", "true", "false"),
        ("variables.CUBLAS_WORKSPACE_CONFIG", ":4096:8", "unset"),
    ]


def test_code_has_another_digest_when_a_file_changes_and_not_when_it_is_compiled(tmp_path: Path) -> None:
    package = tmp_path / "ftc"
    (package / "sub").mkdir(parents=True)
    (package / "sub" / "a.py").write_text("x = 1\n")
    before = snapshot_code(project=tmp_path, package=package)
    (package / "sub" / "__pycache__").mkdir()
    (package / "sub" / "__pycache__" / "a.py").write_text("")
    assert snapshot_code(project=tmp_path, package=package) == before
    (package / "sub" / "a.py").write_text("x = 2\n")
    assert snapshot_code(project=tmp_path, package=package).ftc_sha256 != before.ftc_sha256


def test_the_commit_of_a_checkout_is_read_without_running_git(tmp_path: Path) -> None:
    git, inside = tmp_path / ".git", tmp_path / "recipes"
    inside.mkdir()
    assert snapshot_code(project=inside, package=inside).project_commit is None
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert snapshot_code(project=inside, package=inside).project_commit is None
    (git / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/main\n")
    assert snapshot_code(project=inside, package=inside).project_commit == "b" * 40
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert snapshot_code(project=inside, package=inside).project_commit == "a" * 40
    (git / "HEAD").write_text("c" * 40 + "\n")
    assert snapshot_code(project=inside, package=inside).project_commit == "c" * 40


def test_the_commit_of_a_worktree(tmp_path: Path) -> None:
    own, shared, checkout = tmp_path / "main/.git/worktrees/w", tmp_path / "main/.git", tmp_path / "w"
    (shared / "refs/heads").mkdir(parents=True)
    own.mkdir(parents=True)
    checkout.mkdir()
    (checkout / ".git").write_text(f"gitdir: {own}\n")
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (shared / "refs/heads/side").write_text("d" * 40 + "\n")
    assert snapshot_code(project=checkout, package=checkout).project_commit == "d" * 40
