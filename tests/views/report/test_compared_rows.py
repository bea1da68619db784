"""The rows that tell runs apart, with their images."""

from __future__ import annotations

from collections.abc import Mapping

from ftc.spec.documents.difference import ComparedRun, RunComparison
from ftc.spec.documents.outcomes import Outcome, Said
from ftc.spec.documents.thumbnails import Thumbnail
from ftc.views.report.charts import Drawer
from ftc.views.report.comparison import Side, comparison_html
from tests.support import documents

KEPT = {name: Thumbnail(image=name, width=40, height=30, jpeg=f"{name}==") for name in ("aa", "bb")}


def row(number: int, loss: float, *images: str, answer: str = "seven") -> Outcome:
    said = Said(loss_sum=loss, targets=1, text=answer)
    return Outcome(row=number, prompt=f"question {number}", expected="seven", images=images, base=None, tuned=said)


def compared(
    first: list[Outcome], other: list[Outcome], kept: tuple[Mapping[str, Thumbnail], Mapping[str, Thumbnail]]
) -> str:
    plan = documents.plan()
    record = documents.record(plan)
    run = ComparedRun(id=record.id, name="n", model="m", strategy="lora", rows=len(first))
    found = RunComparison(runs=(run, run), rows=len(first), metrics=(), not_compared=())
    sides = [Side(plan, record, [], rows, mine) for rows, mine in zip((first, other), kept, strict=True)]
    return comparison_html(found, sides, Drawer())


def test_images_are_beside_the_rows_whichever_run_kept_them() -> None:
    first = [row(0, 2.0, "aa"), row(1, 2.0, "bb"), row(2, 2.0, "cc"), row(3, 2.0)]
    other = [row(0, 1.0, "aa"), row(1, 3.0, "bb"), row(2, 1.5, "cc"), row(3, 4.0)]
    page = compared(first, other, ({"aa": KEPT["aa"]}, {"bb": KEPT["bb"]}))
    assert page.count("data:image/jpeg;base64,aa==") == page.count("data:image/jpeg;base64,bb==") == 1
    assert page.count("1 image, not kept with the run") == 1
    assert page.count('<div class="pictures">') == 3


def test_an_image_is_masked_with_what_either_run_answers() -> None:
    first, other = [row(0, 2.0, "aa")], [row(0, 1.0, "aa", answer="write to anna.berg@mail-service.org")]
    page = compared(first, other, (KEPT, KEPT))
    assert "[masked: " in page
    assert "data:image/jpeg" not in page
