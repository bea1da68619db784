"""What would fit, where a run doesn't: the smallest changes of the recipe, each tried before it is told.

A change is a value of the recipe. It is tried by running the same passes on the changed recipe, so its peak is
predicted by the method that the plan itself uses, and it is told with the edit of the text that makes it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Any

from pydantic import ValidationError

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.recipes.edits import changed_recipe, edit_of, yaml_text
from ftc.compiler.rules.recipe_rules import check_rules
from ftc.compiler.rules.train_rules import unsharded
from ftc.compiler.search.candidates import can_take, checkpointing, kernels_for_auto, train_seconds
from ftc.spec.checkpointing import CHECKPOINTING, checkpointing_card
from ftc.spec.diagnostics import Fix, TextEdit
from ftc.spec.knobs import KNOBS
from ftc.spec.optimizer_choice import candidates
from ftc.spec.optimizers import optimizer_card
from ftc.spec.precisions import PRECISIONS, precision_card, trained_type, usual_precisions
from ftc.spec.shardings import SHARDINGS, sharding_card

__all__ = ["Decide", "with_suggestions"]

Decide = Callable[[Draft], ClosedDraft]
"""Runs the passes on a draft of nothing but facts."""

_REFUSALS = ("FTC402", "FTC405")
_MOST = 6
"""Changes that are told; more would be no help."""
_SAMPLED_ROWS = 512
_SAME_SPEED = 0.005
_SHORTEST = 64
_FEW = 8
"""Changes of a kind that are tried one after the other."""
_OPTIMIZER = "train.optimizer.kind"
_KERNELS = ("eager", "sdpa", "flash_attention_2")
"""Kernels of attention, the one that holds most first."""
_MOST_DEVICES = 8
_STEP = 64
"""Tokens by which rows are shortened, since kernels like multiples."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Values at paths of the recipe, in the recipe's own terms."""

    values: tuple[tuple[str, Any], ...]

    def __str__(self) -> str:
        return " and ".join(f"`{path}: {yaml_text(value)}`" for path, value in self.values)

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(path for path, _ in self.values)

    def with_(self, other: _Change) -> _Change:
        return _Change((*self.values, *other.values))


def _change(path: str, value: Any) -> _Change:
    return _Change(((path, value),))


@dataclass(frozen=True, slots=True)
class _Outcome:
    change: _Change
    draft: ClosedDraft


def with_suggestions(undecided: Draft, decided: ClosedDraft, by_form: Decide, by_trace: Decide) -> ClosedDraft:
    """The refused draft, whose finding tells what would fit.

    Args:
        undecided: Facts alone, as the passes got them.
        decided: What the passes made of them.
        by_form: The passes with the analytical estimate, which try many changes.
        by_trace: The passes as the plan uses them, for what is told.
    """
    refusal = next((found for found in decided.diagnostics if found.code in _REFUSALS), None)
    if refusal is None:
        return decided
    alone = [list(search) for search in _searches(undecided, decided)]
    together = [[one.with_(other)] for one, other in combinations((search[-1] for search in alone if search), 2)]
    outcomes: list[_Outcome] = []
    for kinds in (alone, together):
        if not outcomes:  # two changes only where none is enough
            outcomes = _found(undecided, kinds, lambda one: by_form(_sampled(one)), by_trace)
    if not outcomes:
        return decided
    lines = [_line(decided, one) for one in outcomes]
    fixes = [Fix(f"write {one.change}", edits) for one in outcomes if (edits := _edits(decided, one.change))]
    told = replace(refusal, help=tuple(lines), fixes=(*refusal.fixes, *fixes))
    return replace(decided, diagnostics=tuple(told if found is refusal else found for found in decided.diagnostics))


def _sampled(draft: Draft) -> Draft:
    """A draft with fewer rows: many changes are tried, and those that are shown are counted in full."""
    lengths = {name: rows.sample(_SAMPLED_ROWS) for name, rows in draft.lengths.items()}
    images = {name: rows.sample(_SAMPLED_ROWS) for name, rows in draft.row_images.items()}
    seen = {name: rows for name, rows in images.items() if len(rows.sizes.rows)}
    return replace(draft, lengths=lengths, row_images=seen)


def _found(undecided: Draft, kinds: list[list[_Change]], by_form: Decide, by_trace: Decide) -> list[_Outcome]:
    """The smallest change of each kind that fits."""
    found: list[_Outcome] = []
    for kind in kinds:
        fitting = _from_fitting(undecided, kind, by_form)
        found += islice((one for change in fitting if (one := _tried(undecided, change, by_form, by_trace))), 1)
        if len(found) == _MOST:
            break
    return found


def _from_fitting(undecided: Draft, kind: list[_Change], by_form: Decide) -> list[_Change]:
    """The changes of a kind from the smallest one that fits by the formula; each needs no more than those before it.

    A few are left to be tried one after the other; there may be a hundred lengths of rows.
    """
    if len(kind) <= _FEW:
        return kind

    def fits(change: _Change) -> bool:
        variant = _variant(undecided, change)
        return variant is not None and _is_accepted(by_form(variant))

    kind = [change for change in kind if _variant(undecided, change) is not None]
    return kind[bisect_left(kind, True, key=fits) :] if kind and fits(kind[-1]) else []


def _searches(undecided: Draft, decided: Draft) -> Iterator[Iterator[_Change]]:
    """Kinds of change, those that leave results as they are first; each from its smallest to its largest."""
    yield _smaller_parts(decided, "train.micro_batch", undecided.recipe.train.micro_batch)
    yield _shorter_sequences(undecided)
    if (asked := undecided.recipe.train.activation_checkpointing) != "auto":
        most = CHECKPOINTING.index(checkpointing_card(asked))
        smaller = (card for card in checkpointing(decided) if CHECKPOINTING.index(card) > most)
        yield (_change("train.activation_checkpointing", card.value) for card in smaller)
    if isinstance(undecided.recipe.eval.batch_size, int):
        yield _halves("eval.batch_size", undecided.recipe.eval.batch_size)
    yield _other_kernels(undecided, decided)
    yield _paged(undecided, decided)
    yield _other_layouts(undecided)
    yield _more_devices(undecided)
    if undecided.recipe.budget.allow_tight is False and decided.memory and decided.memory.verdict == "tight":
        yield iter([_change("budget.allow_tight", True)])
    yield _fewer_bits_of_products(undecided)
    yield _fewer_bits(undecided, decided)
    yield _narrow_weights(undecided)
    for ways in undecided.recipe.strategy.smaller(undecided.model):
        yield (_change(path, value) for path, value in ways)
    yield _shorter_rows(undecided)


def _fewer_bits_of_products(undecided: Draft) -> Iterator[_Change]:
    """16 bits in place of 32, where the device is fast at them."""
    asked = undecided.recipe.train.precision
    if asked != "auto" and not precision_card(asked).is_mixed:
        device, model_type = undecided.device, undecided.model.model_type
        fits = (card for card in usual_precisions(device, model_type) if card.is_mixed)
        yield from (_change("train.precision", card.kind) for card in fits)


def _narrow_weights(undecided: Draft) -> Iterator[_Change]:
    """Trained weights in 16 bits, with the optimizer for them; rules refuse it for adapters."""
    train, source = undecided.recipe.train, undecided.source
    is_open = source.node(_OPTIMIZER) is None or train.optimizer.kind == "auto"
    for card in PRECISIONS:
        if card.trained.size < trained_type(train.precision).size and card.is_fast_on(undecided.device):
            narrow, kind = _change("train.precision", card.kind), candidates("auto", card.kind)[0].kind
            yield narrow if is_open else narrow.with_(_change(_OPTIMIZER, kind))


def _smaller_parts(decided: Draft, path: str, asked: Any) -> Iterator[_Change]:
    if isinstance(asked, int):
        batch = decided.recipe.train.batch_size
        yield from (_change(path, size) for size in range(asked - 1, 0, -1) if batch % size == 0)


def _shorter_sequences(undecided: Draft) -> Iterator[_Change]:
    """Shorter sequences that rows share, or fewer padded tokens at once, down to those of the longest row."""
    asked, longest = undecided.recipe.train.micro_batch_tokens, undecided.splits["train"].length_max
    while asked is not None and asked > longest:
        asked = max(longest, asked // 2)
        yield _change("train.micro_batch_tokens", asked)


def _other_kernels(undecided: Draft, decided: Draft) -> Iterator[_Change]:
    """Kernels of attention that hold less than the one that was asked for."""
    asked, known = undecided.recipe.model.attention, kernels_for_auto(decided)
    if asked in ("eager", "sdpa"):
        smaller = _KERNELS[_KERNELS.index(asked) + 1 :]
        yield from (_change("model.attention", kernel) for kernel in smaller if kernel in known)


def _paged(undecided: Draft, decided: Draft) -> Iterator[_Change]:
    """The same optimizer with a paged state, which rounds nothing."""
    asked = undecided.recipe.train.optimizer.kind
    if asked != "auto" and (kind := optimizer_card(asked).paged_as) and can_take(decided, optimizer_card(kind)):
        yield _change(_OPTIMIZER, kind)


def _other_layouts(undecided: Draft) -> Iterator[_Change]:
    """Devices that hold parts, and parts that lie with the host, where the recipe says otherwise."""
    train, devices = undecided.recipe.train, undecided.recipe.budget.devices
    if devices == 1 or any(unsharded(undecided.recipe)) or undecided.model.packed is not None:
        return
    is_divided = train.sharding != "auto" and sharding_card(train.sharding).is_divided
    behind = () if train.sharding == "auto" else SHARDINGS[SHARDINGS.index(sharding_card(train.sharding)) + 1 :]
    nodes, each = undecided.recipe.budget.nodes, 2 if devices == "auto" else devices
    smaller = [card for card in behind if card.lacks_partners(nodes * each, nodes) is None]
    yield from (_change("train.sharding", card.kind) for card in smaller)
    if train.offload == "none" or (smaller and not is_divided):
        offload = _change("train.offload", "cpu")
        yield offload if is_divided else _change("train.sharding", SHARDINGS[-1].kind).with_(offload)


def _more_devices(undecided: Draft) -> Iterator[_Change]:
    """Two, four or eight cards, as far as this machine has them or the plan is for another; `auto` has tried them."""
    device, asked = undecided.device, undecided.recipe.budget.devices
    most = device.count if device.local else _MOST_DEVICES
    least = most if asked == "auto" else asked
    for count in (2, 4, 8):
        if device.kind == "cuda" and least < count <= min(most, undecided.recipe.train.batch_size):
            yield _change("budget.devices", count)


def _fewer_bits(undecided: Draft, decided: Draft) -> Iterator[_Change]:
    """The same optimizer with a state of 8 bits."""
    asked = undecided.recipe.train.optimizer.kind
    rounded = () if asked == "auto" else optimizer_card(asked).rounded_as
    yield from (_change(_OPTIMIZER, kind) for kind in rounded if can_take(decided, optimizer_card(kind)))


def _halves(path: str, asked: int) -> Iterator[_Change]:
    while asked > 1:
        asked //= 2
        yield _change(path, asked)


def _shorter_rows(undecided: Draft) -> Iterator[_Change]:
    longest = max(split.length_max for split in undecided.splits.values())
    start = (longest - 1) // _STEP * _STEP
    yield from (_change("data.max_length", length) for length in range(start, _SHORTEST - 1, -_STEP))


def _tried(undecided: Draft, change: _Change, by_form: Decide, by_trace: Decide) -> _Outcome | None:
    """The change with the draft that it makes, where that is accepted; formulas sort out what is hopeless."""
    variant = _variant(undecided, change)
    if variant is None or not _is_accepted(by_form(variant)):
        return None
    decided = by_trace(variant)
    return _Outcome(change, decided) if _is_accepted(decided) else None


def _is_accepted(draft: Draft) -> bool:
    return not any(finding.is_error for finding in draft.diagnostics)


def _variant(undecided: Draft, change: _Change) -> Draft | None:
    recipe = undecided.recipe
    try:
        for path, value in change.values:
            recipe = changed_recipe(recipe, path, value)
    except ValidationError:
        return None
    if any(found.is_error for found in check_rules(recipe, undecided.source, undecided.prices)):
        return None
    variant = replace(undecided, recipe=recipe)
    length = dict(change.values).get("data.max_length")
    if length is None:
        return variant
    splits = {name: _cut(report, length) for name, report in undecided.splits.items()}
    lengths = {name: rows.cut(length) for name, rows in undecided.lengths.items()}
    text = variant.text.model_copy(update={"max_length": length})
    return replace(variant, splits=splits, lengths=lengths, settled={**variant.settled, "text": text})


def _cut(report: Any, length: int) -> Any:
    """A split whose rows were cut at a length; its sums stay, since memory doesn't depend on them."""
    limits = {name: min(getattr(report, name), length) for name in ("length_p50", "length_p95", "length_max")}
    return report.model_copy(update={**limits, "supervised_max": min(report.supervised_max, length)})


def _edits(decided: ClosedDraft, change: _Change) -> tuple[TextEdit, ...]:
    """The edits of the text; none where one of them can't be made there, or where two would meet."""
    edits = [edit_of(decided.source, path, value) for path, value in change.values]
    made = tuple(edit for edit in edits if edit is not None)
    places = {(edit.span.file, edit.span.line, edit.span.column) for edit in made}
    return made if len(places) == len(edits) else ()


def _line(decided: ClosedDraft, outcome: _Outcome) -> str:
    memory = outcome.draft.memory
    assert memory is not None
    made = ", ".join(_also(decided, outcome.draft, outcome.change))
    words = [f"{outcome.change} needs {memory.peak_bytes / 2**30:.2f} GiB"]
    words += [made] if made else []
    words += [slower] if (slower := _slowdown(decided, outcome)) else []
    return ", ".join(words)


def _also(before: ClosedDraft, after: ClosedDraft, change: _Change) -> Iterator[str]:
    """What the solver then chooses for itself."""
    for knob in KNOBS:
        value = getattr(after.candidate, knob.name)
        if knob.words and knob.settings[0] not in change.paths and getattr(before.candidate, knob.name) != value:
            is_flag = isinstance(value, bool)
            yield f"{'with' if value else 'without'} {knob.words}" if is_flag else f"with {knob.words} {value}"


def _slowdown(before: ClosedDraft, outcome: _Outcome) -> str:
    """How much longer training takes by the roofline; in proportion where nothing is known of the device's speed."""
    ratio = train_seconds(outcome.draft) / train_seconds(before) - 1
    return "as fast" if abs(ratio) < _SAME_SPEED else f"{abs(ratio):.0%} {'slower' if ratio > 0 else 'less time'}"
