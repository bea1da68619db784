"""Images in the tokens of a row: a template writes one token for each, which becomes as many as the model reads."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftc.compiler.resolve.rows.images import Picture
from ftc.compiler.tokens.encoder import Cut, TextTokenizer, TokenizedText
from ftc.compiler.tokens.sandbox import TemplateProblem
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import VisionFacts

__all__ = ["ImageTokens", "tokens_of_images"]


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """How images stand in a row.

    Attributes:
        token_id: The token that a template writes for an image, and that stands for each of its features.
        text: The same as text.
        counts: Tokens of each image by its sha256.
    """

    token_id: int
    text: str
    counts: Mapping[str, int]

    def expanded(self, text: TokenizedText, images: Sequence[str]) -> TokenizedText | TemplateProblem:
        """The row's tokens with all of each image, and its cuts among them; a problem where their numbers differ."""
        places = [place for place, token in enumerate(text.ids) if token == self.token_id]
        if len(places) != len(images):
            written = f"the template writes `{self.text}` {len(places)} times for {len(images)} images"
            why = "; a text must not contain it itself" if len(places) > len(images) else ""
            return TemplateProblem("raised", written + why)
        if not images:
            return text
        sizes = [self.counts[image] for image in images]
        ids, end = array("i"), 0
        for place, size in zip(places, sizes, strict=True):
            ids += text.ids[end:place]
            ids += array("i", [self.token_id]) * size
            end = place + 1
        ids += text.ids[end:]

        def moved(tokens: int) -> int:
            return tokens + sum(size - 1 for place, size in zip(places, sizes, strict=True) if place < tokens)

        return TokenizedText(ids, [Cut(moved(cut.ended), moved(cut.begun)) for cut in text.cuts])


def tokens_of_images(
    vision: VisionFacts | None, tokenizer: TextTokenizer, images: Mapping[str, Picture]
) -> ImageTokens | None:
    """How images stand in rows for a model; None for one that reads text alone.

    Raises:
        Refusal: Its tokenizer has no such token as a whole, or its processor takes no image of that shape (FTC128).
    """
    if vision is None:
        return None
    text = tokenizer.text_of(vision.image_token_id)
    if text is None or text not in tokenizer.special_tokens:
        summary = f"the tokenizer has no special token with the id {vision.image_token_id}, the one for images"
        help = "take config.json and the tokenizer's files from the same model"
        raise Refusal([diagnostic("FTC128", summary, help=help, path="model.base")])
    return ImageTokens(vision.image_token_id, text, {name: _tokens(vision, one) for name, one in images.items()})


def _tokens(vision: VisionFacts, image: Picture) -> int:
    try:
        return vision.shape(image.width, image.height).tokens
    except ValueError as error:
        summary = f"an image of {image.width:,} x {image.height:,} pixels can't be used: {error}"
        help = "cut the image, or remove its rows"
        raise Refusal([diagnostic("FTC128", summary, help=help, path="data.source")]) from error
