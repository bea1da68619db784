"""The report's charts: equal bytes for equal figures, colors of the page, words for those who don't see them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ftc.spec.storage.outputs import drawn_by, without_drawings
from ftc.views.report.charts import (
    Axis,
    Bar,
    Bars,
    Chart,
    Drawer,
    Lines,
    Part,
    Range,
    Ranges,
    Series,
    are_shares,
    drawer,
    figure,
)
from ftc.views.report.run_report import report_html
from tests.support import documents

pytestmark = pytest.mark.charts
ATTACK = "<script>$x^2$</script> \x00 新闻 \"'"
STEPS = Axis("step", "{:,.0f}".format, whole=True)
LINES = Lines(
    key="loss",
    title="Loss",
    description="It falls.",
    series=[
        Series("each step", [(step, 3 / step) for step in range(1, 40)], "raw"),
        Series("mean", [(step, 3 / step) for step in range(1, 40, 2)], "line"),
        Series(ATTACK, [(10, 0.5), (30, 0.25)], "dots", 1),
        Series("base", [(1, 1.0), (39, 1.0)], "squares", 7),
        Series("rows", [(5, 2.0)], "cloud", 2),
        Series("even", [(1, 0.0), (39, 3.0)], "ideal", 7),
    ],
    x=STEPS,
    y=Axis("nats"),
    mark=(30, ATTACK),
    is_wide=True,
)
BARS = Bars(
    key="memory",
    title="Memory",
    description=ATTACK,
    bars=[
        Bar(ATTACK, [Part(0, "weights: 3 GiB", 3.0), Part(1, "other: 1 GiB", 1.0)]),
        Bar("measured", [Part(-1, "measured 5 GiB", 5.0)]),
    ],
    names={0: "weights", 1: "other"},
    axis=Axis("GiB"),
    mark=(6.0, "limit 6 GiB"),
)
RANGES = Ranges(
    key="groups",
    title="Accuracy",
    description="North is ahead.",
    rows=[
        ("north", [Range(0, 0.5, None, "north, base: 0.5"), Range(1, 0.9, (0.8, 1.0), "north, tuned: 0.9")]),
        (ATTACK, [Range(1, 0.7, (0.5, 0.8), "tuned: 0.7")]),
    ],
    names=["base", "tuned"],
    axis=Axis("accuracy", limits=(0.0, 1.0)),
)
CHARTS = (LINES, BARS, RANGES)


def svgs(chart: Chart) -> list[ElementTree.Element]:
    found = re.findall(r"<svg.*?</svg>", figure(chart, drawer()), re.DOTALL)
    return [ElementTree.fromstring(one) for one in found]  # noqa: S314


@pytest.mark.slow
def test_equal_figures_give_equal_bytes(tmp_path: Path) -> None:
    """Whatever the process's hash seed is, and whatever the user's own style file says."""
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\nsvg.fonttype: path\n", encoding="utf-8")
    code = (
        "from tests.views.report.test_charts import CHARTS, drawer, figure\n"
        "import sys\n"
        "sys.stdout.buffer.write(''.join(figure(one, drawer()) for one in CHARTS).encode())"
    )
    paths = os.pathsep.join((str(Path(__file__).parents[3]), *sys.path))
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": paths}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path, env=env)
    assert child.stderr == b""
    assert child.stdout.decode() == "".join(figure(one, drawer()) for one in CHARTS)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.key)
def test_a_picture_has_a_title_a_description_and_the_colors_of_the_page(chart: Chart) -> None:
    source = figure(chart, drawer())
    assert not re.search(r"#[0-9a-f]{6}|https?:|url\(|<script|\x00", source)
    ids = re.findall(r' id="([^"]*)"', source)
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in re.findall(r'href="([^"]*)"', source)} <= set(ids)
    for svg in svgs(chart):
        assert svg.get("role") == "img"
        assert [svg[0].tag, svg[0].text, svg[1].tag] == ["title", chart.title, "desc"]
        assert svg.get("aria-labelledby") == svg[0].get("id")
        assert svg.get("aria-describedby") == svg[1].get("id")
        colors = {rule for one in svg.iter() for rule in one.get("style", "").split(";") if "fill:" in rule}
        assert all("var(--" in rule or rule == "fill:none" for rule in colors)


def test_every_point_says_its_value() -> None:
    said = [one.text for one in svgs(LINES)[0].iter("title")]
    assert "step 30: 0.25 (<script>$x^2$</script> \ufffd 新闻 \"')" in said
    assert "step 1: 3 (mean)" in said
    assert [one.text for one in svgs(RANGES)[0].iter("title")][1:3] == ["north, base: 0.5", "north, tuned: 0.9"]


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.2, 1.83), (1.0, 1.0), (0.0, 0.0), (2e-6, 2e-4), (-3.0, 8e5), (0.1, 1e300)]
)
def test_ticks_are_round_and_hold_every_value(low: float, high: float) -> None:
    chart = Lines("a", "A", "", [Series("a", [(0, low), (9, high)], "line")], STEPS, Axis("value", "{:.17g}".format))
    (svg,) = svgs(chart)
    texts = [one.text or "" for one in svg.iter("text")]
    ticks = [float(one) for one in texts[texts.index("step") + 1 :] if re.fullmatch(r"[-+.e\d]+", one)]
    assert ticks[0] <= low <= high <= ticks[-1] + 1e-12
    assert 2 <= len(ticks) <= 8
    assert all(after > before for before, after in pairwise(ticks))


def test_an_interval_beyond_one_makes_a_metric_no_share() -> None:
    """An axis that ends at 1 would let the line leave the picture."""
    inside, beyond = Range(1, 0.9, (0.7, 1.0), ""), Range(1, 0.9, (0.7, 1.2), "")
    assert are_shares([inside, Range(0, 0.0, None, "")])
    assert not are_shares([inside, beyond])


def test_a_missing_library_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ftc.views.report.drawing", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert drawer().name is None


def test_without_the_library_words_stand_where_pictures_would() -> None:
    plan = documents.plan()
    with_charts, without = (
        report_html(plan, documents.record(plan), documents.evaluation(), [], drawn=one) for one in (drawer(), Drawer())
    )
    assert (drawn_by(with_charts) or "").startswith("matplotlib ")
    assert drawn_by(without) is None
    assert "<svg" not in without
    assert "<p>planned 1.11 GiB (analytical estimate); measured 1.28 GiB" in without
    assert "pip install &#x27;ftc[report]&#x27;" in without.replace("'", "&#x27;")
    assert with_charts != without
    assert without_drawings(with_charts) == without_drawings(without)
