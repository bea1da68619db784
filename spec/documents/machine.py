"""What bits depend on beside inputs and settings: the class of a machine and the code that ran. And who holds a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ftc.spec.base import Document

__all__ = ["ARITHMETIC_VARIABLES", "CodeSnapshot", "Holder", "MachineClass", "code_digest", "snapshot_code"]

ARITHMETIC_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "FLASH_ATTENTION_DETERMINISTIC",
    "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NCCL_ALGO",
    "NCCL_PROTO",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
)
"""Variables of the environment that make libraries compute in another way. Numbers of threads are not among them: a
run sets its own, and the class holds what torch then says."""

_PACKAGE = Path(__file__).parents[2]
_NO_CODE = frozenset({"__pycache__"})


class MachineClass(Document):
    """On machines of one class the same job is expected to give the same bits; on two classes nobody can say."""

    architecture: str
    """Instruction set, such as `x86_64`."""
    device: str
    """The CPU's or the card's own name."""
    vector_flags: tuple[str, ...]
    """Vector extensions of the CPU, sorted; empty where the system doesn't tell."""
    kernels: str
    """Which of its kernels torch chose for this CPU, such as `AVX2`."""
    compute_capability: str | None
    """Of the card, such as `9.0`; None without one."""
    driver: str | None
    """Version of the card's driver."""
    threads: int
    """Threads inside an operation."""
    processes: int
    """Processes that share each step."""
    torch: str
    """Version and commit."""
    torch_build_sha256: str
    """Digest of torch's own description of how it was built, and with which libraries."""
    libraries: dict[str, str]
    """CUDA, cuDNN and NCCL, as torch names them."""
    math: dict[str, str]
    """Modes of arithmetic that were set when the first step began."""
    variables: dict[str, str]
    """`ARITHMETIC_VARIABLES` that were set."""

    def differences(self, other: MachineClass) -> Iterator[tuple[str, str, str]]:
        """What differs: name, value here, value there. Most telling first, in the order of the fields."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            if isinstance(mine, dict):
                for key in sorted(mine.keys() | theirs.keys()):
                    if mine.get(key) != theirs.get(key):
                        yield f"{name}.{key}", str(mine.get(key, "unset")), str(theirs.get(key, "unset"))
            elif isinstance(mine, tuple):
                yield name, _only_in(mine, theirs), _only_in(theirs, mine)
            else:
                yield name, str(mine), str(theirs)


def _only_in(these: tuple[str, ...], those: tuple[str, ...]) -> str:
    return " ".join(sorted({*these} - {*those})) or "none"


class CodeSnapshot(Document):
    """The code that ran, beside the packages of the environment."""

    ftc_sha256: str
    """Digest over ftc's own installed source files."""
    project_commit: str | None
    """Commit that the project's git checkout stood at; None outside of git. What a recipe reads has digests of its
    own, so that uncommitted changes are seen there."""


def code_digest(package: Path = _PACKAGE) -> str:
    """Digest over the source files of an installed `ftc`."""
    sha256 = hashlib.sha256()
    for name, file in sorted(_sources(package)):
        content = file.read_bytes()
        sha256.update(f"{name}\0{len(content)}\0".encode())
        sha256.update(content)
    return sha256.hexdigest()


def snapshot_code(*, project: Path, package: Path = _PACKAGE) -> CodeSnapshot:
    """The code as it lies on disk now.

    Args:
        project: A folder in the project's checkout.
        package: Folder of the installed `ftc`.
    """
    return CodeSnapshot(ftc_sha256=code_digest(package), project_commit=_commit(project.absolute()))


def _sources(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Every file below a folder but compiled ones; in a checkout, parts of the package are links."""
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in _NO_CODE:
                yield from _sources(path, f"{prefix}{path.name}/")
        elif path.suffix in (".py", ".jinja", ".css", ".html", ".yaml"):
            yield f"{prefix}{path.name}", path


def _commit(folder: Path) -> str | None:
    """The commit of a checkout, read from git's files: running git would run what the repository configures."""
    marker = next((parent / ".git" for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    if marker is None:
        return None
    try:
        git = marker if marker.is_dir() else (marker.parent / _after(marker, "gitdir: ")).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head or None
        reference = head.removeprefix("ref: ")
        shared = (git / _after(git / "commondir", "")).resolve() if (git / "commondir").exists() else git
        for place in (git, shared):
            if (place / reference).is_file():
                return _after(place / reference, "") or None
        packed = shared / "packed-refs"
        lines = packed.read_text(encoding="utf-8").splitlines() if packed.exists() else []
        return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), None)
    except (OSError, ValueError):
        return None


def _after(file: Path, prefix: str) -> str:
    return file.read_text(encoding="utf-8").strip().removeprefix(prefix)


class Holder(Document):
    """The process that holds a run's lock, `.holder.json`."""

    id: str
    """Name of this holding, for `ftc run unlock`: each has its own, so that nobody unlocks what they didn't see."""
    pid: int
    host: str
    since: str
    """UTC, ISO 8601."""

    @property
    def who(self) -> str:
        """The holder in words."""
        return f"process {self.pid} on {self.host} since {self.since}"
