"""Codes 460 to 463: texts that become vectors, or are ranked."""

from ftc.spec.codes._code import Code

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC460",
        title="score that two vectors can't have",
        cause="Two texts have one score. The loss `cosine` trains the cosine similarity of their vectors to equal it, "
        "and a cosine lies between -1 and 1.",
        wrong='{"sentence1": "a", "sentence2": "b", "score": 4.2}  # on a scale from 0 to 5',
        right='{"sentence1": "a", "sentence2": "b", "score": 0.84}',
    ),
    Code(
        id="FTC461",
        title="shortened vector longer than the whole one",
        cause="`matryoshka` lists lengths to which vectors can be cut, and the model's vectors have fewer components.",
        wrong="task: {kind: embedding, matryoshka: [1024]}  # of a model with 768",
        right="task: {kind: embedding, matryoshka: [256]}",
    ),
    Code(
        id="FTC462",
        title="first token of a decoder as the vector",
        cause="A decoder reads from left to right. Its first token has seen nothing of the text behind it.",
        wrong="task: {kind: embedding, pooling: cls}  # with a decoder",
        right="task: {kind: embedding, pooling: last}",
    ),
    Code(
        id="FTC463",
        title="texts that can't be ranked",
        cause="A reranker learns which of several texts answers a query, so each row has a right text and at least one "
        "wrong one. With `loss: margin_mse` it has a margin for each wrong text.",
        wrong='{"query": "What is an elm?", "positive": "A tall tree.", "negative": []}',
        right='{"query": "What is an elm?", "positive": "A tall tree.", "negative": ["A kind of bird."]}',
    ),
)
