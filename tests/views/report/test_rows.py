"""What the report says of classes and of single rows, held against scikit-learn and against sums made by hand."""

from __future__ import annotations

import random

import pytest

from ftc.spec.documents.outcomes import Outcome, Said
from ftc.views.report.classes import confusion, label_scores
from ftc.views.report.run_report import report_html
from tests.support import documents

LABELS = ("business", "entertainment", "politics", "sport", "tech")


def said(text: str | None, loss: float, confidence: float | None = 0.5, targets: int = 1) -> Said:
    return Said(text=text, loss_sum=loss, targets=targets, confidence=confidence)


def answered(count: int, *, seed: int = 0) -> list[Outcome]:
    """Rows of which the longer ones are harder, so that the base is right on the shorter half alone."""
    choose = random.Random(seed)
    rows = []
    for row in range(count):
        expected = LABELS[row % 5]
        other = choose.choice([label for label in LABELS if label != expected])
        base = said(expected if row < count / 2 else other, 1.5)
        tuned = said(other if row % 10 == 9 else expected, 0.01 * row)
        text = f"text {row} " + "word " * row
        rows.append(Outcome(row=row, prompt=text, expected=expected, base=base, tuned=tuned))
    return rows


def page(outcomes: list[Outcome], **changes: object) -> str:
    plan = documents.plan(**changes)
    return report_html(plan, documents.record(plan), documents.evaluation(), [], outcomes)


def test_a_confidence_that_nobody_recorded_is_none() -> None:
    rows = [Outcome(row=row, prompt="a", expected="tech", base=None, tuned=said("tech", row, None)) for row in range(4)]
    assert ">–</td>" in page(rows)
    assert "0.0 %" not in page(rows).partition("Highest-loss")[2].partition("</table>")[0]


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    choose = random.Random(7)
    labels = [*LABELS, "never expected", "never chosen"]
    expected = [choose.choice([*LABELS, "never chosen"]) for _ in range(300)]
    chosen = [choose.choice([*LABELS, "never expected"]) for _ in range(300)]
    found = confusion(labels, zip(expected, chosen, strict=True))
    assert [list(line) for line in found.counts] == metrics.confusion_matrix(expected, chosen, labels=labels).tolist()
    reference = metrics.precision_recall_fscore_support(expected, chosen, labels=labels, zero_division=0)
    ours = [(one.precision, one.recall, one.f1, one.support) for one in found.scores()]
    assert ours == list(zip(*(column.tolist() for column in reference), strict=True))


def test_scores_of_labels_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    choose = random.Random(8)
    rows = [[[choose.random() < 0.4 for _ in range(4)] for _ in range(200)] for _ in range(2)]
    expected, chosen = ([[number for number, has in enumerate(row) if has] for row in side] for side in rows)
    reference = metrics.precision_recall_fscore_support(*rows, zero_division=0)
    ours = [
        (one.precision, one.recall, one.f1, one.support) for one in label_scores(4, zip(expected, chosen, strict=True))
    ]
    assert ours == list(zip(*(column.tolist() for column in reference), strict=True))


def head_of(head: str, labels: tuple[str, ...]) -> dict[str, object]:
    settings = documents.plan().settings
    model = settings.model.model_copy(update={"head": head})
    return {
        "settings": settings.model_copy(
            update={"model": model, "text": settings.text.model_copy(update={"labels": labels})}
        )
    }


def test_tags_are_counted_by_word() -> None:
    answer = Said(text="", loss_sum=1.0, targets=3, predicted=(0.0, 1.0, 1.0))
    row = Outcome(row=0, prompt="a b c", expected="", targets=(0, 1, 0), base=None, tuned=answer)
    shown = page([row], **head_of("token_classification", ("O", "B-person")))
    assert "Precision, recall and F1 of each tag" in shown
    assert "F1 of the tuned model, from the lowest: O 0.667; B-person 0.667." in shown
    assert "Confusion matrix of the tuned model" in shown


def test_labels_of_a_row_have_a_score_each_and_no_matrix() -> None:
    answer = Said(text="", loss_sum=1.0, targets=1, predicted=(1.0,))
    row = Outcome(row=0, prompt="a", expected="cold, wet", targets=(0, 1), base=None, tuned=answer)
    shown = page([row], **head_of("multi_label", ("cold", "wet")))
    assert "F1 of the tuned model, from the lowest: cold 0.000; wet 1.000." in shown
    assert "Confusion matrix" not in shown


def test_the_matrix_holds_every_row_once() -> None:
    shown = page(answered(100))
    start = shown.index('<div class="scroll matrix"')
    lines = shown[start : shown.index("</table>", start)].split("<tr>")[2:]
    counts = [int(cell.split("<")[0]) for line in lines for cell in line.split('">')[2:]]
    assert len(counts) == 25
    assert sum(counts) == 100


def test_many_classes_are_a_list_of_mistakes() -> None:
    labels = [f"class {number}" for number in range(30)]
    rows = [
        Outcome(row=row, prompt="p", expected=labels[row], base=None, tuned=said(labels[row // 2], 1.0))
        for row in range(30)
    ]
    settings = documents.plan().settings
    text = settings.text.model_copy(update={"labels": tuple(labels)})
    shown = page(rows, settings=settings.model_copy(update={"text": text}))
    assert "scroll matrix" not in shown
    assert "the 20 most frequent of 29" in shown


def test_the_worst_row_is_the_one_with_the_highest_loss() -> None:
    shown = page(answered(60))
    worst, best = shown.index("text 59 "), shown.index("text 0 ")
    assert shown.index("Highest-loss examples of the") < worst < shown.index("Lowest-loss examples of the") < best
    assert "text 30 " not in shown


def test_quality_over_length_is_the_share_that_is_right() -> None:
    shown = page(answered(100))
    assert "Share of correct rows by length of the text" in shown
    assert "tuned from 0.900 to 0.900, base from 1.000 to 0.000." in shown


@pytest.mark.parametrize("count", [0, 1, 2, 39])
def test_few_rows_have_no_chart_of_lengths(count: int) -> None:
    assert "by length of the text" not in page(answered(count))


def test_a_language_model_is_judged_by_its_loss() -> None:
    rows = [
        Outcome(row=row, prompt="word " * row, expected=None, base=None, tuned=said(None, 2.0 * row, None, 4))
        for row in range(80)
    ]
    settings = documents.plan().settings
    shown = page(rows, settings=settings.model_copy(update={"model": settings.model.model_copy(update={"head": "lm"})}))
    assert "Loss (lower is better) by length of the text" in shown
    assert "How each class is recognized" not in shown


@pytest.mark.parametrize("who", ["base", "tuned", "both", "nobody"])
def test_one_model_alone_writes_something_beside_the_classes(who: str) -> None:
    rows = [
        one.model_copy(
            update={
                side: getattr(one, side).model_copy(update={"text": "iewiew"})
                for side in ("base", "tuned")
                if who in (side, "both") and one.row % 3 == 0
            }
        )
        for one in answered(30)
    ]
    shown = page(rows)
    assert ("(no class)" in shown) is (who != "nobody")
