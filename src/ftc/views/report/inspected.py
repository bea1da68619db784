"""What training changed in a model, on one page: by module, by layer, and in the states between layers."""

from __future__ import annotations

from ftc.spec.documents.inspected import InspectedRun
from ftc.spec.version import VERSION
from ftc.views import numbers
from ftc.views.inspected import (
    LAYER_HEADER,
    MODULE_HEADER,
    groups,
    layer_cells,
    module_cells,
    stack_and_layer,
    summary_parts,
)
from ftc.views.report.charts import Axis, Drawer, Lines, Series, drawer, figure
from ftc.views.report.elements import details, facts, framed, section, table, text

__all__ = ["inspected_html"]

_MOST_LINES = 7
"""Modules that have a line of their own: there are no more colors."""


def inspected_html(found: InspectedRun, drawn: Drawer | None = None) -> str:
    """The page.

    Args:
        found: What was measured.
        drawn: Who draws the charts; by default the library of the `report` extra, where it is installed.
    """
    drawn = drawn or drawer()
    title = f"What training changed in {found.name}"
    lead = f"{summary_parts(found)[0].capitalize()} were trained by {found.strategy}."
    header = f'<header><p class="kind">Inside run {text(found.run_id)}</p><h1>{text(title)}</h1>'
    header += f'<p class="lead">{text(lead)}</p></header>'
    rows = [("Training", text("; ".join(summary_parts(found))))]
    rows += [("Note", text(words)) for words in found.notes]
    modules = [tuple(map(text, row)) for row in module_cells(found)]
    layers = [tuple(map(text, row)) for row in layer_cells(found)]
    weights = _weights_chart(found, drawn) + _ranks_chart(found, drawn)
    tokens = [
        (text(repr(one.token)), f"{one.distance:.4g}", "–" if one.relative is None else numbers.percent(one.relative))
        for one in found.tokens
    ]
    each = [
        (
            text(one.name),
            f"{one.parameters:,}",
            "new" if one.update_norm is None else f"{one.update_norm:.4g}",
            "–" if one.relative is None else numbers.percent(one.relative),
            "–" if one.effective_rank is None else f"{one.effective_rank:.1f}",
        )
        for one in found.changes
    ]
    titles = ("weight", "parameters", "norm of the change", "of its own norm", "effective rank")
    whole = details("Every weight", table("Changes of all weights", titles, each, right=(1, 2, 3, 4))) if each else ""
    moved = table("By module, over all layers", MODULE_HEADER, modules, right=(1, 2, 3, 4, 5)) if modules else ""
    alike = table("By layer", LAYER_HEADER, layers, right=(1, 2, 3, 4)) if layers else ""
    named = table("Embeddings that moved most", ("token", "distance", "of its norm"), tokens, right=(1, 2))
    parts = [
        ("result", "Result", section("result", "Result", facts(rows))),
        ("weights", "Weights", section("weights", "Changes of weights", weights, moved, whole)),
        ("layers", "Layers", section("layers", "States between layers", _states_chart(found, drawn), alike)),
        ("tokens", "Tokens", section("tokens", "Tokens", named if tokens else "")),
    ]
    return framed(title, header, parts, f"Made by ftc {text(VERSION)}.", drawn.name)


def _weights_chart(found: InspectedRun, drawn: Drawer) -> str:
    """How far each kind of module moved, over the layers."""
    modules = groups(
        [one for one in found.changes if one.layer is not None and "." not in one.module], lambda one: one.module
    )
    series = []
    for color, (name, group) in enumerate(modules.items()):
        by_layer = groups(group.changes, stack_and_layer).values()
        points = [(float(index), share) for index, one in enumerate(by_layer) if (share := one.relative) is not None]
        if points:
            series.append(Series(str(name), points, "line", color))
    if not series:
        return ""
    series.sort(key=lambda one: -max(y for _, y in one.points))
    most = max(y for _, y in series[0].points)
    words = f"The largest change of a layer is {numbers.percent(most)}, of {series[0].label}."
    chart = Lines(
        "change-chart",
        "Change of weights by layer",
        words,
        series[:_MOST_LINES],
        Axis("layer", whole=True),
        Axis("norm of the change, of the weight's", numbers.percent, from_zero=True),
        is_wide=True,
    )
    return figure(chart, drawn)


def _ranks_chart(found: InspectedRun, drawn: Drawer) -> str:
    """How many directions the changes have, over the layers."""
    layers = [one for one in groups(found.changes, stack_and_layer).values() if one.changes[0].layer is not None]
    stable = [(float(i), value) for i, one in enumerate(layers) if (value := one.mean(lambda it: it.stable_rank))]
    whole = [(float(i), value) for i, one in enumerate(layers) if (value := one.mean(lambda it: it.effective_rank))]
    if not stable:
        return ""
    series = [Series("stable rank", stable, "squares", 7)]
    series += [Series("effective rank", whole, "dots", 0)] if whole else []
    mean = sum(value for _, value in stable) / len(stable)
    words = f"The changes have a stable rank of {mean:.1f} on average."
    axis = Axis("mean over the layer's weights", from_zero=True)
    return figure(Lines("rank-chart", "Rank of the changes", words, series, Axis("layer", whole=True), axis), drawn)


def _states_chart(found: InspectedRun, drawn: Drawer) -> str:
    """How alike states are before and after, over the layers."""
    if not found.states:
        return ""
    series = [
        Series("cosine", [(float(i), float(one.cosine)) for i, one in enumerate(found.states)], "dots", 0),
        Series("CKA", [(float(i), float(one.cka)) for i, one in enumerate(found.states)], "squares", 7),
    ]
    least = min(found.states, key=lambda one: one.cosine)
    words = f"The states that changed most are behind layer {least.layer}, with a cosine of {least.cosine:.4f}."
    axis = Axis("similarity; 1 is the same")
    return figure(Lines("states-chart", "Before and after", words, series, Axis("layer", whole=True), axis), drawn)
