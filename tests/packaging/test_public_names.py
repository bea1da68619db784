"""`import ftc` offers what `ftc.api` has, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ftc
from ftc import api
from ftc.spec.diagnostics import Refusal


@pytest.mark.parametrize("name", api.__all__)
def test_every_function_of_the_api_is_one_of_the_package(name: str) -> None:
    assert getattr(ftc, name) is getattr(api, name)


def test_the_package_has_no_other_names() -> None:
    assert set(ftc.__all__) == {*api.__all__, "Refusal", "__version__"}
    assert ftc.Refusal is Refusal
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ftc.nothing  # noqa: B018 - what is tested is the look-up


def test_old_names_work_and_name_the_new_ones() -> None:
    with pytest.warns(DeprecationWarning, match="`ftc.whence` is now `ftc.provenance`"):
        assert ftc.whence is api.provenance


def test_a_recipe_that_is_not_there_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "tickets.yaml").write_text("ftc: 1\n", encoding="utf-8")
    for verb in (ftc.plan, ftc.validate, ftc.lock, ftc.format):
        with pytest.raises(Refusal) as refused:
            verb(tmp_path / "ticket.yaml")
        (found,) = refused.value.diagnostics
        assert (found.code, refused.value.exit_code) == ("FTC107", 1)
        assert f"did you mean `{tmp_path / 'tickets.yaml'}`?" in found.help


def test_dir_lists_public_names_and_loads_nothing() -> None:
    code = "import ftc, sys; print(*dir(ftc)); print('ftc.api' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines() == [" ".join(sorted(ftc.__all__)), "False"]
