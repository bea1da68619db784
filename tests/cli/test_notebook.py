"""What a notebook shows: findings with their places, no frame of ftc's, and a plan's findings and what is unchecked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.views.run import plan_html
from tests.support import documents


def test_a_refusal_shows_the_place_and_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text("ftc: 1\nname: a\ntask: {kind: clasification}\n", encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        api.plan("recipe.yaml")
    shown = "\n".join(caught.value._render_traceback_())
    assert "recipe.yaml:3:" in shown
    assert "clasification" in shown
    assert "did you mean" in shown
    assert "ftc/" not in shown, "no frame"
    assert caught.value._repr_html_().startswith("<pre>")


def test_a_plan_shows_its_findings_and_what_was_not_checked() -> None:
    finding = diagnostic("FTC690", "1 of 3 rows <b> have no prediction", help="fill them in")
    shown = plan_html(documents.plan(not_checked=("the license of the data",)), [finding])
    assert "FTC690: 1 of 3 rows &lt;b&gt; have no prediction. Fill them in" in shown
    assert "the license of the data" in shown
