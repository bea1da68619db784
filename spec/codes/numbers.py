"""Codes 296 and 297: rows of numbers."""

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
)
