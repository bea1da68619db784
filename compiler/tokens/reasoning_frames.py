"""What a reward model's chat template makes of reasoning in an answer, found out by marks before any answer is written.

Templates of models that reason take an answer apart at `</think>`: they drop the reasoning, or write it between their
own tags, with other blanks around it. Here such a rule is looked for among those that templates are known to
have, and believed only where it gives what the template gives for every probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product, takewhile

from ftc.spec.documents.reward_models import TRIMS, Reasoning

__all__ = ["REASONED", "Written", "reasoning_of"]

Written = Callable[[Sequence[str]], list[str | None]]
"""Gives the whole text of a row with each of some answers; None for one that the template fails on."""

REASONED = (
    "<think>\nfirst\n</think>\n\nthen",
    "<think>first</think>then",
    "<think>\nfirst\n\nsecond: {x}\n</think>\n\n<b>&amp;</b>\n\nthird",
    "<think>\n\n</think>\n\nthen",
    "first\n</think>\nthen",
    "<think> \n first \n </think> \n then",
    "<think>one<think>two</think>then",
    "<think>\nfirst\n</think>\nthen\n</think>\n\nlast",
    "<think>\nfirst\n</think>",
)
"""Answers with reasoning in them, as models write it and as they write it wrongly."""
_BLANKS = "\n \n"


def reasoning_of(marks: Sequence[str], frame: tuple[str, str], written: Written) -> Reasoning | None:
    """How a template writes reasoning; None where no known rule gives what it writes.

    Args:
        marks: Two texts that no template writes by itself.
        frame: Text before and behind the answer of a row that has no reasoning part.
        written: What the template makes of answers to the same row.
    """
    part, rest = marks
    marked = f"<think>{_BLANKS}{part}{_BLANKS}</think>{_BLANKS}{rest}", f"<think>\n{part}\n</think>"
    whole, alone, *found = written([*marked, *REASONED])
    before, behind = frame
    if whole is None or alone is None or whole.count(rest) != 1 or not whole.endswith(rest + behind):
        return None
    for rule in _rules(whole.removesuffix(rest + behind), alone.removesuffix(behind), part, before):
        if [rule.written(before, answer) + behind for answer in REASONED] == found:
            return rule
    return None


def _rules(whole: str, alone: str, part: str, before: str) -> Iterator[Reasoning]:
    """Every rule that gives a row's text up to the rest of a marked answer, and that of reasoning alone."""
    count = whole.count(part)
    if count > 1:
        return
    for front, end, rest in product(TRIMS, repeat=3):
        head, _, between = whole.partition(part)
        left = _BLANKS.lstrip(TRIMS[rest])
        if not whole.endswith(left):
            continue
        if count == 0:
            head, kept, behind = whole.removesuffix(left), None, None
        else:
            first, last = _BLANKS.lstrip(TRIMS[front]), _BLANKS.rstrip(TRIMS[end])
            if not (head.endswith(first) and between.startswith(last) and len(between) >= len(last) + len(left)):
                continue
            head, kept = head.removesuffix(first), between[len(last) : len(between) - len(left)]
            behind = alone.partition(part)[2].removeprefix("\n" if TRIMS[end] == "" else "")
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(head, before, strict=False)))
        yield Reasoning(
            instead=before[shared:], before=head[shared:], between=kept, alone=behind, trims=(front, end, rest)
        )
