"""The one file that knows torch's internals: what it replaces is put back, and no other file needs such names."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ftc.runtime import memory_trace
from ftc.runtime.memory_trace.child import _answer
from ftc.runtime.memory_trace.torch_internals import replaced
from tests.support.trace_jobs import trace_job

FOLDER = Path(memory_trace.__file__).parent


def private_names(code: ast.AST) -> set[str]:
    """Modules and attributes of torch that begin with an underscore; operators are called by their real names."""
    dotted = {ast.unparse(node) for node in ast.walk(code) if isinstance(node, ast.Attribute)}
    dotted |= {one.name for node in ast.walk(code) if isinstance(node, ast.Import) for one in node.names}
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom):
            dotted |= {f"{node.module}.{one.name}" for one in node.names}
    torchs = {name for name in dotted if name.startswith("torch.") and not name.startswith("torch.ops.")}
    others = {name for name in dotted if name.startswith("unittest")}
    return {name for name in torchs if any(part.startswith("_") for part in name.split("."))} | others


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_private_names_of_torch_have_one_home(file: Path) -> None:
    found = private_names(ast.parse(file.read_text(encoding="utf-8")))
    assert bool(found) is (file.name == "torch_internals.py"), found


def test_what_stands_under_a_name_is_put_back() -> None:
    class Base:
        size = 1

    class Part(Base):
        width = 2

    with replaced(Part, "size", 3), replaced(Part, "width", 4):
        assert (Part.size, Part.width, Base.size) == (3, 4, 1)
    assert vars(Part).keys() & {"size", "width"} == {"width"}
    assert (Part.size, Part.width) == (1, 2)


def test_a_torch_that_lacks_a_name_is_a_reason_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a release moves or removes: the planner hears which name, and counts that way by the closed form."""
    from torch.distributed.fsdp._fully_shard import _fsdp_param_group

    monkeypatch.delattr(_fsdp_param_group.FSDPParamGroup, "_validate_no_meta_params")
    job = trace_job(train__world_size=2, train__sharding="fsdp", train__batch_size=8)
    answer = _answer(job.model_dump_json(by_alias=True).encode())
    assert "has no `_validate_no_meta_params` in `FSDPParamGroup`" in answer
    assert not torch.distributed.is_initialized()


def test_a_missing_name_is_told() -> None:
    with (
        pytest.raises(RuntimeError, match=r"^torch .* has no `size` in `part`, by which the trace follows it$"),
        replaced(SimpleNamespace(__name__="part"), "size", 1),
    ):
        raise AssertionError("not reached")
