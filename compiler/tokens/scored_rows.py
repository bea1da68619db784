"""Answers that a reward model scores: each as a whole, or step by step."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ftc.compiler.tokens.encoder import MarkedText, TextTokenizer
from ftc.compiler.tokens.forms import StepForm
from ftc.compiler.tokens.generative import Generative
from ftc.compiler.tokens.plain_rows import float_bits
from ftc.compiler.tokens.sources import Row, ends_of
from ftc.compiler.tokens.token_rows import Limit, RowCounts, RowTokens
from ftc.spec.documents.facts import TokenizerFacts

__all__ = ["ScoredAnswers", "stepped"]


@dataclass(frozen=True, slots=True)
class ScoredAnswers:
    """Rows whose answer is rated with a number: written as if the answer were learned, and scored as a whole."""

    written: Generative
    numbers: str
    """Column of the number, a list of one."""

    def encode(self, chunk: dict[int, Row]) -> Iterator[RowTokens]:
        """The tokens of the rows that fit, perhaps with a shorter prompt: of an answer nothing is ever cut."""
        for tokens in self.written.encode(chunk):
            (number,) = chunk[tokens.row][self.numbers]
            yield RowTokens(
                tokens.row,
                tokens.ids,
                [],
                tokens.prompt_length,
                targets=[float_bits(number)],
                texts=[repr(float(number))],
            )


def stepped(
    chunks: Iterable[dict[int, Row]],
    form: StepForm,
    tokenizer: TextTokenizer,
    facts: TokenizerFacts,
    limit: Limit,
    counts: RowCounts,
) -> Iterator[Iterable[RowTokens]]:
    """Rows with the ratings of their steps, in chunks: prompt, steps and separators are each encoded alone, as in TRL.

    A row that is too long loses its last steps, of which the first always stays.

    Raises:
        Refusal: The tokenizer names no token that ends a text (FTC334).
    """
    before, _ = ends_of(tokenizer, facts)
    index = {name: number for number, name in enumerate(form.labels)}
    (separator,) = tokenizer.encode([MarkedText(form.separator, ())])
    for chunk in chunks:
        texts = [text for row in chunk.values() for text in (row[form.prompt], *row[form.steps])]
        parts = iter(tokenizer.encode([MarkedText(text, ()) for text in texts]))
        made: list[RowTokens] = []
        for i, row in chunk.items():
            prompt = array("i", [*before, *next(parts).ids])
            ids, ends = array("i", prompt), list[int]()
            for _ in row[form.steps]:
                ids.extend([*next(parts).ids, *separator.ids])
                ends.append(len(ids))
            kept = [end for end in ends if end <= limit.max_length]
            if not kept or (len(kept) < len(ends) and not limit.cuts):
                needed = ends[0] if limit.cuts else len(ids)
                counts.drop_long(i, needed, limit.reason(needed, " with one step alone" if limit.cuts else ""))
                continue
            if len(kept) < len(ends):
                counts.cut.append(i)
            ratings = [index[name] for name in row[form.ratings][: len(kept)]]
            made.append(RowTokens(i, ids[: kept[-1]], [(end - 1, end) for end in kept], len(prompt), targets=ratings))
        yield made
