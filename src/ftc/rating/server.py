"""The page's server: this machine only, behind an address that can't be guessed, with one rater and one contest.

Who a contestant is never reaches the page before every row is rated.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from ftc.loopback import PageHandler, PageServer
from ftc.rating.ballots import Ballot, Contest, Pair, tally
from ftc.spec.documents.outcomes import Choice
from ftc.spec.documents.stream_images import OtherImage, StreamImages
from ftc.spec.storage.images import decode_image, jpeg_of
from ftc.spec.storage.reading import parse_json
from ftc.views.row_texts import RowTexts

__all__ = ["RatingServer"]

_LONGEST = 1600
"""Pixels of an image's longer side on the page."""
_GONE = "An image of this row is no longer in ftc's cache. `ftc plan RECIPE` puts it there; then load this page again."
_NO_PILLOW = "Images can't be shown here: `pip install 'ftc[vision]'` installs Pillow. Then start the command again."
_PAGES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}


class RatingServer(PageServer):
    """Serves one rater's page until it is closed.

    Args:
        contest: What is rated.
        ballot: Where decisions go.
        images: The images of the rows.
        seed: Decides about order and sides, with the rater's name.
        port: Port on the loopback address; 0 for any that is free.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self,
        contest: Contest,
        ballot: Ballot,
        images: StreamImages,
        *,
        seed: int,
        port: int = 0,
        shows_personal_data: bool = False,
    ) -> None:
        super().__init__(_Handler, port)
        self.texts = RowTexts(shows_all=shows_personal_data)
        self.contest, self.ballot, self.seed = contest, ballot, seed
        self.order = contest.order(ballot.rater, seed)
        self.writing = threading.Lock()
        self._images = images

    def state(self) -> dict[str, Any]:
        """How far the rater is; the decisions are by side, in the rater's order."""
        return {"rows": len(self.order), "choices": [self._said(pair) for pair in self.order]}

    def item(self, number: int) -> dict[str, Any]:
        """One pair as it stands on the page.

        Raises:
            IndexError: There is no such pair.
        """
        if number < 0:
            raise IndexError(number)
        pair = self.order[number]
        sides = (pair.first, pair.second) if self._left(pair) == "first" else (pair.second, pair.first)
        prompt, expected, left, right = self.texts.row(str(pair.row), pair.prompt, pair.expected, *sides)
        wanted = None if pair.expected is None else expected
        shown = 0 if str(pair.row) in self.texts.masked else len(pair.images)
        return {"prompt": prompt, "expected": wanted, "left": left, "right": right, "images": shown}

    def image(self, number: int, place: int) -> bytes:
        """An image of a pair's row as a JPEG file.

        Raises:
            IndexError: There is no such pair, or it shows no such image.
            OtherImage: The image is no longer here.
        """
        if min(number, place) < 0 or place >= self.item(number)["images"]:
            raise IndexError(place)
        return jpeg_of(decode_image(self._images.content(self.order[number].images[place])), _LONGEST)

    def rate(self, number: int, side: str | None) -> dict[str, Any]:
        """Takes a decision: `left`, `right`, `tie`, `bad`, or None to take one back.

        Raises:
            IndexError: There is no such pair.
            ValueError: It is no decision.
            OSError: The disk refused; the decision doesn't count.
        """
        if number < 0:
            raise IndexError(number)
        pair = self.order[number]
        left = self._left(pair)
        with self.writing:
            self.ballot.rate(pair.row, _choice(side, left), left)
        return self.state()

    def result(self) -> dict[str, Any]:
        """The rater's own result, once every row is rated; before that, it would no longer be blind.

        Raises:
            ValueError: Rows are left.
        """
        if None in self.state()["choices"]:
            raise ValueError("some rows are not rated yet")
        return tally(self.contest, [self.ballot]).to_json()

    def _left(self, pair: Pair) -> Any:
        return self.contest.left(self.ballot.rater, self.seed, pair.row)

    def _said(self, pair: Pair) -> str | None:
        rating = self.ballot.latest.get(pair.row)
        if rating is None:
            return None
        if rating.choice in ("tie", "bad"):
            return rating.choice
        return "left" if rating.choice == self._left(pair) else "right"


def _choice(side: str | None, left: str) -> Choice | None:
    match side:
        case None:
            return None
        case "tie" | "bad":
            return side
        case "left":
            return "first" if left == "first" else "second"
        case "right":
            return "second" if left == "first" else "first"
        case _:
            raise ValueError(f"{side!r} is not a decision")


class _Handler(PageHandler):
    server: RatingServer  # pyright: ignore[reportIncompatibleVariableOverride]  # as socketserver asks
    package = "ftc.rating"
    files = _PAGES

    def got(self) -> None:
        """Pages, the state, and single pairs."""
        match self.inside():
            case None:
                self.refuse(HTTPStatus.NOT_FOUND)
            case "state":
                self._answer(self.server.state)
            case "result":
                self._answer(self.server.result)
            case name if name in _PAGES:
                self.page(name)
            case name if name.startswith("image/"):
                self._send_image(name.removeprefix("image/"))
            case name if name.startswith("item/"):
                self._answer(lambda: self.server.item(int(name.removeprefix("item/"))))
            case _:
                self.refuse(HTTPStatus.NOT_FOUND)

    def _send_image(self, which: str) -> None:
        try:
            number, place = map(int, which.split("/"))
            self.send(HTTPStatus.OK, "image/jpeg", self.server.image(number, place))
        except OtherImage:
            self.send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", _GONE.encode())
        except ModuleNotFoundError:
            self.send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", _NO_PILLOW.encode())
        except (IndexError, ValueError):
            self.refuse(HTTPStatus.BAD_REQUEST)

    def posted(self) -> None:
        """A decision."""
        if self.inside() != "rate" or (body := self.body()) is None:
            self.refuse(HTTPStatus.BAD_REQUEST)
            return
        self._answer(partial(self._rate, body))

    def _rate(self, body: bytes) -> dict[str, Any]:
        said = parse_json(body)
        if not isinstance(said, dict) or type(said.get("number")) is not int:
            raise ValueError("expected a number and a choice")
        return self.server.rate(said["number"], said.get("choice"))

    def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
        try:
            body = json.dumps(make(), ensure_ascii=False).encode()
        except (IndexError, ValueError):
            self.refuse(HTTPStatus.BAD_REQUEST)
        except OSError as error:
            self.send(HTTPStatus.INSUFFICIENT_STORAGE, "text/plain; charset=utf-8", str(error).encode())
        else:
            self.send(HTTPStatus.OK, "application/json", body)
