"""What stands between a converted file and its user: scores, choices, and the recipe's gates."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from ftc.runtime.evaluation.reference import Reference
from ftc.runtime.exports import gates
from ftc.runtime.exports.children import Llama
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.exported import AnswersKept
from ftc.spec.documents.record import Gain, GateResult
from ftc.spec.documents.streams import TokenStream
from ftc.spec.model_formats import FILE_TYPES, file_type
from tests.runtime.jobs import write_stream
from tests.support.streams import write_columns


class Answering:
    """llama.cpp's place, with scores that differ from the reference by so much."""

    runtime = "a library"

    def __init__(self, reference: Reference, shift: float) -> None:
        self.reference, self.shift = reference, shift
        self.asked: list[Any] = []

    def score(self, rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        self.asked = rows
        places = [
            {"scores": (one + self.shift).tolist(), "log_sum_exp": float(total), "highest": int(choices[0])}
            for one, total, choices in zip(
                self.reference.scores, self.reference.log_sum_exp, self.reference.choices, strict=True
            )
        ]
        counts = torch.bincount(self.reference.owners).tolist()
        return [[places.pop(0) for _ in range(count)] for count in counts]


@pytest.fixture
def rows(tmp_path: Any) -> TokenStream:
    return write_stream(tmp_path / "rows.arrow", 4, seed=1)


def reference_of(rows: TokenStream) -> Reference:
    counts = [int(rows.mask(number)[1:].sum()) for number in (0, 2)]
    owners = torch.tensor([0] * counts[0] + [1] * counts[1])
    scores = torch.rand(len(owners), 3).sort(descending=True).values
    choices = torch.tensor([[5, 6, 7]] * len(owners))
    places = torch.tensor([*range(counts[0]), *range(counts[1])])
    sums, lowest = scores.logsumexp(-1), torch.full((len(owners),), -9.0)
    return Reference("validation", torch.tensor([0, 2]), places, owners, choices, scores, sums, lowest)


@pytest.mark.parametrize(("shift", "holds"), [(0.0, True), (0.5e-4, True), (0.01, False)])
def test_scores_are_compared_with_their_spread(rows: TokenStream, shift: float, holds: bool) -> None:
    reference = reference_of(rows)
    llama = Answering(reference, shift)
    found = gates.parity(cast("Llama", llama), rows, reference, file_type("f32"), 0.0)
    assert (found.holds, found.places) == (holds, len(reference.owners))
    assert found.share == pytest.approx(shift / reference.spread, abs=1e-6)
    first = llama.asked[0]
    assert [first["ids"][place + 1] for place in first["places"]] == first["targets"]
    if not holds:
        with pytest.raises(Refusal, match="FTC669"):
            gates.require(found, "the file")
        assert found.model_copy(update={"allowed": 0.05}).holds, "a type of fewer bits may differ more"


@pytest.mark.parametrize("shift", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_never_pass(rows: TokenStream, shift: float) -> None:
    reference = reference_of(rows)
    with pytest.raises(Refusal, match="FTC669"):
        gates.parity(cast("Llama", Answering(reference, shift)), rows, reference, file_type("f32"), 0.0)


def test_equal_infinities_are_no_difference() -> None:
    infinite = torch.tensor([float("-inf"), 1.0])
    assert gates.largest_difference(infinite, infinite + 0.5) == 0.5
    assert gates.largest_difference(infinite, -infinite) == float("inf")
    assert gates.largest_difference(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")


def test_a_preference_is_two_texts(tmp_path: Any) -> None:
    """Each answer is read by itself, behind the prompt that both share."""
    ids, mask = [1, 8, 9, 2, 1, 8, 7, 7, 2], [0, 0, 1, 1, 0, 0, 1, 1, 1]
    rows = write_columns(tmp_path / "pairs.arrow", [ids], [mask], prompts=[2], labels=[-1], targets=[[4]])
    whole = gates.sequences_of(rows, 0)
    assert [row["ids"] for row in whole] == [ids[:4], ids[4:]]
    assert [row["targets"] for row in whole] == [[9, 2], [7, 7, 2]]
    some = gates.sequences_of(rows, 0, [1, 2, 4], [[5], [6], [7]])
    assert [(row["targets"], row["choices"]) for row in some] == [([2], [[5]]), ([7, 2], [[6], [7]])]


def test_types_of_fewer_bits_allow_more() -> None:
    assert [one.allowed for one in FILE_TYPES] == sorted(one.allowed for one in FILE_TYPES)
    assert [one.least_same for one in FILE_TYPES] == sorted((one.least_same for one in FILE_TYPES), reverse=True)


def kept(*waived: str) -> AnswersKept:
    gate = GateResult(metric="rouge_l", bound=">= 0.5", value=0.4, passed=False)
    return AnswersKept(
        split="validation",
        rows=41,
        same_answers=32,
        tuned={"rouge_l": 0.6},
        exported={"rouge_l": 0.4},
        changes={"rouge_l": Gain(value=-0.2, interval=None)},
        gates=(gate,),
        waived=waived,
    )


def test_a_gate_that_fails_with_the_file_is_refused_unless_waived() -> None:
    gates.require_gates(kept("rouge_l"), "q8_0")
    with pytest.raises(Refusal) as refused:
        gates.require_gates(kept("accuracy"), "q8_0")
    (found,) = refused.value.diagnostics
    assert (found.code, "0.6 on the same rows, a change of -0.2" in found.notes[0]) == ("FTC670", True)
    assert "--type f16" in str(found.help)
    with pytest.raises(Refusal) as other:
        gates.require_gates(kept("accuracy"), "f32", help="merge it")
    assert "--type" not in str(other.value.diagnostics[0].help), "a format of one type has no other"


def test_the_first_rows_are_a_stream_of_their_own(rows: TokenStream) -> None:
    some = gates.first_rows(rows, 2)
    assert (len(some), len(gates.first_rows(rows, 99))) == (2, len(rows))
    for number in range(2):
        assert some.ids(number).tolist() == rows.ids(number).tolist()
        assert some.texts(number) == rows.texts(number)
