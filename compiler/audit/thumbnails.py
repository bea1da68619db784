"""The small pictures that a report shows of rows' images, beside the images themselves: they are made again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from ftc.compiler.audit.tally import Tally, difference, finding, plural
from ftc.spec.documents.audit import Finding
from ftc.spec.documents.outcomes import Outcome
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.stream_images import StreamImages
from ftc.spec.documents.thumbnails import Thumbnail, of_reported_rows, thumbnail
from ftc.spec.storage.images import mean_difference
from ftc.spec.storage.reading import read_regular

__all__ = ["check_thumbnails"]

_FILE = "thumbnails.ndjson"
_ROUNDING = 2.0
"""Of 255 levels, on average: builds of the JPEG library round otherwise, and no other picture is that near."""


def check_thumbnails(
    tally: Tally, plan: Plan, file: Path | None, rows: Sequence[Outcome], streams: Path | None, *, ours: bool
) -> None:
    """Compares which images the pictures are of with the rows, and the pictures with the images.

    Args:
        tally: What was found so far.
        plan: The plan.
        file: The run's pictures; None where they are not as the record says.
        rows: The lines of `predictions.ndjson`.
        streams: Folder of the token streams; None where the cache doesn't have them, or has others.
        ours: Whether this code of ftc made them; other code may make them otherwise.
    """
    names = of_reported_rows(rows, plan.settings.eval.samples)
    if not names:
        return
    if file is None:
        tally.not_checked.append(f"the pictures in {_FILE}: the file is missing or changed")
        return
    if streams is None or not ours:
        why = "the images are not here" if ours else "other code of ftc made them"
        tally.not_checked.append(f"the pictures in {_FILE}: {why}")
        return
    try:
        kept = [Thumbnail.model_validate_json(line) for line in read_regular(file).splitlines()]
        made = [one.image for one in kept]
        of_rows = [name for name in names if name in made]  # the run leaves out what it could not decode
        found = difference(f"{_FILE}: images", made, of_rows, "predictions.ndjson")
        found = found or [*_other_pictures(kept, StreamImages(streams))]
    except ValidationError as error:
        hint = "restore the file from a copy"
        problems = f"{error.error_count()} problems"
        tally.findings.insert(0, finding("FTC537", _FILE, "small pictures of images", problems, hint))
        return
    except ModuleNotFoundError:
        tally.not_checked.append(f"the pictures in {_FILE}: Pillow is not installed, which `ftc[vision]` brings")
        return
    except ValueError as error:  # `OtherImage`, or one that this Pillow can't decode
        tally.not_checked.append(f"the pictures in {_FILE}: {error}")
        return
    tally.findings[:0] = found
    tally.checked.append(f"{plural(len(kept), 'picture')} of rows' images")
    if lacking := len(names) - len(kept):
        tally.not_checked.append(f"{plural(lacking, 'image')} of rows: the run has no picture of them")


def _other_pictures(kept: Sequence[Thumbnail], images: StreamImages) -> Iterator[Finding]:
    for number, one in enumerate(kept, 1):
        ought = thumbnail(one.image, images)
        subject = f"{_FILE}, line {number}"
        sizes = ([one.width, one.height], [ought.width, ought.height])
        yield from difference(f"{subject}: width and height", *sizes, f"image {one.image[:12]}")
        if one.jpeg != ought.jpeg and not _is_near(one, ought):
            hint = "restore the file from a copy"
            yield finding("FTC537", subject, f"a picture of image {one.image[:12]}", "another picture", hint)


def _is_near(one: Thumbnail, ought: Thumbnail) -> bool:
    try:
        return mean_difference(one.picture, ought.picture) <= _ROUNDING
    except ValueError:  # it is no picture
        return False
