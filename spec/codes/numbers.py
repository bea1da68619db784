"""Codes 296, 297 and 495: rows of numbers, and of ratings."""

from ftc.spec.codes._code import Code

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC296",
        title="rows with different numbers of scores",
        cause="A regression head has one output for each number, so every row needs as many numbers, in one order.",
        wrong='{"text": "a", "score": [1.5, 2]}\n{"text": "b", "score": [1.5]}',
        right='{"text": "a", "score": [1.5, 2]}\n{"text": "b", "score": [1.5, 0]}',
    ),
    Code(
        id="FTC297",
        title="score that never changes",
        cause="All training rows have the same number, so there is nothing to predict. Often the wrong column is used "
        "as the score.",
        wrong="task: {kind: regression}\ndata: {fields: {score: version}}  # 1 in every row",
        right="task: {kind: regression}\ndata: {fields: {score: grade}}",
    ),
    Code(
        id="FTC495",
        title="ratings that don't fit the answer",
        cause="A process reward model learns from one rating for each step of an answer, and a reward model from one "
        "number for a whole answer. With more or fewer nobody knows which rating is whose.",
        wrong='{"prompt": "2 + 2?", "steps": ["2 and 2 make 4.", "So 4."], "step_labels": [true]}',
        right='{"prompt": "2 + 2?", "steps": ["2 and 2 make 4.", "So 4."], "step_labels": [true, true]}',
    ),
)
