"""Images in a row's text and tokens: a template writes one token for each, which becomes all that a model reads."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ftc.compiler.resolve.rows.images import Picture
from ftc.compiler.tokens.encoder import Cut, MarkedText, TextTokenizer, TokenizedText
from ftc.compiler.tokens.sandbox import TemplateProblem
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.vision_facts import Features, VisionFacts
from ftc.spec.vision_card import ImageWords

__all__ = ["ImageTokens", "tokens_of_images"]


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """How images stand in a row.

    Attributes:
        token_id: The token that stands for each feature of an image.
        feature: The same as text.
        text: What a template writes for an image: the same token, or the one that begins an image.
        edges: Texts of the tokens that begin and end an image; empty where there are none.
        words: What stands around the features.
        prompt_words: What stands behind the images and behind the prompt: see `VisionModel.prompt_words`.
        parts_by_runs: Whether two images need another token between them: see `VisionModel.parts_by_runs`.
        features: What each image becomes, by its sha256.
    """

    token_id: int
    feature: str
    text: str
    edges: tuple[str, str]
    words: ImageWords
    prompt_words: tuple[str, str] | None
    parts_by_runs: bool
    features: Mapping[str, Features]

    @property
    def own_texts(self) -> set[str]:
        """Special tokens that belong to images, and end nothing."""
        return {self.feature, self.text, *self.edges}

    def framed(self, text: MarkedText, images: Sequence[str]) -> MarkedText | TemplateProblem:
        """A row's text with the words around each image, and its marks there; a problem where their numbers differ.

        The token for images stands once in front of each image's, and each square's, features: see `expanded`.
        """
        pieces = text.text.split(self.text)
        if len(pieces) - 1 != len(images):
            found = f"the template writes `{self.text}` {len(pieces) - 1} times for {len(images)} images"
            return TemplateProblem("raised", found + _WHY * (len(pieces) - 1 > len(images)))
        if self.text != self.feature and self.feature in text.text:
            return TemplateProblem("raised", f"the text holds `{self.feature}`{_WHY}")
        if not images:
            return text
        shapes = [self.features[image] for image in images]
        written = [self.words.text(self.feature, one.rows, one.columns, self.edges) for one in shapes]
        ends = list(accumulate(len(piece) + len(self.text) for piece in pieces[:-1]))

        def moved(mark: int) -> int:
            return mark + sum(len(one) - len(self.text) for one, end in zip(written, ends, strict=True) if end <= mark)

        whole = "".join(piece + one for piece, one in zip(pieces, [*written, ""], strict=True))
        return MarkedText(whole, list(map(moved, text.marks)))

    def expanded(self, text: TokenizedText, images: Sequence[str]) -> TokenizedText | TemplateProblem:
        """The row's tokens with all features of each image, and its cuts among them."""
        places = [place for place, token in enumerate(text.ids) if token == self.token_id]
        shapes = [self.features[image] for image in images]
        sizes = [one.each for one in shapes for _ in range(one.rows * one.columns + 1)]
        if len(places) != len(sizes):
            found = f"the tokenizer reads `{self.feature}` {len(places)} times instead of {len(sizes)}"
            return TemplateProblem("raised", found)
        if not images:
            return text
        if self.parts_by_runs and any(after == place + 1 for place, after in pairwise(places)):
            return TemplateProblem("raised", f"nothing is between the `{self.feature}` of two images{_ONE_IMAGE}")
        ids, end = array("i"), 0
        for place, size in zip(places, sizes, strict=True):
            ids += text.ids[end:place]
            ids += array("i", [self.token_id]) * size
            end = place + 1
        ids += text.ids[end:]

        def moved(tokens: int) -> int:
            return tokens + sum(size - 1 for place, size in zip(places, sizes, strict=True) if place < tokens)

        return TokenizedText(ids, [Cut(moved(cut.ended), moved(cut.begun)) for cut in text.cuts])


_WHY = "; a text must not contain it itself"
_ONE_IMAGE = ", which the model reads as one; write a text between them, or name a template that frames each image"


def tokens_of_images(
    vision: VisionFacts | None, tokenizer: TextTokenizer, images: Mapping[str, Picture]
) -> ImageTokens | None:
    """How images, of shapes that the model takes, stand in rows for it; None for one that reads text alone.

    Raises:
        Refusal: Its tokenizer has no such token as a whole (FTC128).
    """
    if vision is None:
        return None
    feature = _special(tokenizer, vision.image_token_id, "for images")
    named = zip(vision.edges or (), ("begins", "ends"), strict=False)
    edges = [_special(tokenizer, one, f"that {does} an image") for one, does in named]
    return ImageTokens(
        token_id=vision.image_token_id,
        feature=feature,
        text=edges[0] if edges else feature,
        edges=(edges[0], edges[1]) if edges else ("", ""),
        words=vision.card.words,
        prompt_words=vision.card.prompt_words,
        parts_by_runs=vision.card.parts_by_runs,
        features={name: vision.features(one.width, one.height) for name, one in images.items()},
    )


def _special(tokenizer: TextTokenizer, token_id: int, which: str) -> str:
    """Text of a token that the tokenizer never divides."""
    text = tokenizer.text_of(token_id)
    if text is None or text not in tokenizer.special_tokens:
        summary = f"the tokenizer has no special token with the id {token_id}, the one {which}"
        help = "take config.json and the tokenizer's files from the same model"
        raise Refusal([diagnostic("FTC128", summary, help=help, path="model.base")])
    return text
