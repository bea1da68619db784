"""Lines of Python that print what an exported graph says of texts, by kind of head, and what its program is given.

They stand behind lines that give `texts`, what they are `encoded` as, `outputs` by name, and where a head has such,
`names` and `scales`, or `longest`, the most tokens of an answer.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

__all__ = ["ANSWER", "LABEL", "LABELS", "NUMBERS", "TAGS", "TRIALS", "USAGE", "VECTORS", "Given", "given"]

Given = Literal["texts", "pairs", "questions"]
"""What the program is given: texts, pairs of texts, or questions with their contexts."""

USAGE: dict[Given, str] = {
    "texts": "TEXT...",
    "pairs": "TEXT SECOND_TEXT...",
    "questions": "QUESTION CONTEXT...",
}
"""How a command line names them."""

TRIALS: dict[Given, str] = {
    "texts": '"A text."',
    "pairs": '"A text." "A second text."',
    "questions": '"A question?" "A text with its answer."',
}
"""Some to try it with, as a command line has them."""


def given(columns: Container[str], *, finds_spans: bool) -> Given:
    """What the program of a model is given.

    Args:
        columns: Parts of the task that the run's rows had.
        finds_spans: Whether the head cuts answers out of a context.
    """
    if finds_spans:
        return "questions"
    return "pairs" if "text_pair" in columns else "texts"


VECTORS = (
    'for text, vector in zip(texts, outputs["sentence_embedding"], strict=True):',
    "    print(text, *(vector / np.linalg.norm(vector)))",
)
LABEL = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    '    print(text, names[scores.argmax()], sep="\\t")',
)
LABELS = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    '    print(text, *[name for name, score in zip(names, scores, strict=True) if score > 0], sep="\\t")',
)
NUMBERS = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    "    numbers = [mean + spread * score for (mean, spread), score in zip(scales, scores, strict=True)]",
    '    said = (f"{name} {number:g}" for name, number in zip(names, numbers, strict=True))',
    '    print(text, *said, sep="\\t")',
)
TAGS = (  # each word has the tag of the first token whose characters reach into it; one that was cut off has none
    'for text, one, scores in zip(texts, encoded, outputs["logits"], strict=True):',
    "    begin, tagged = 0, []",
    "    for word in text.split():",
    "        begin = text.index(word, begin)",
    "        tags = (names[line.argmax()] for line, (_, end) in zip(scores, one.offsets, strict=True) if end > begin)",
    '        tagged.append("/".join((word, *tuple(tags)[:1])))',
    "        begin += len(word)",
    "    print(*tagged)",
)
ANSWER = (  # texts are pairs of a question and a context; the first place stands for no answer
    'starts, ends = outputs["start_logits"], outputs["end_logits"]',
    "for (question, context), one, start, end in zip(texts, encoded, starts, ends, strict=True):",
    "    inside = [place for place, part in enumerate(one.sequence_ids) if part == 1]",
    "    spans = [(start[a] + end[b], a, b) for a in inside for b in inside if a <= b < a + longest]",
    "    score, first, last = max(spans, default=(-np.inf, 0, 0))",
    "    found = context[one.offsets[first][0] : one.offsets[last][1]]",
    '    print(question, found if score > start[0] + end[0] else "no answer", sep="\\t")',
)
