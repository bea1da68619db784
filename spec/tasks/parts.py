"""The parts of rows: what a task reads of a row, under which names a column may play it, and what its values are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ftc.spec.tasks.rows import FUNCTIONS_COLUMN

__all__ = [
    "ANSWERS",
    "ANSWER_START",
    "CHOSEN",
    "COMPLETION",
    "CONTEXT",
    "DOCUMENT",
    "HISTORY",
    "IMAGE",
    "INPUT",
    "INSTRUCTION",
    "LABEL",
    "MARGIN",
    "MESSAGES",
    "NEGATIVE",
    "OUTPUT",
    "POSITIVE",
    "PROMPT",
    "QUERY",
    "QUESTION",
    "RATING",
    "REFERENCE",
    "REJECTED",
    "SCORE",
    "SENTENCE1",
    "SENTENCE2",
    "SPANS",
    "STEPS",
    "STEP_LABELS",
    "SUMMARY",
    "SYSTEM",
    "TAGS",
    "TEXT",
    "TEXT_PAIR",
    "TOKENS",
    "TOOLS",
    "Part",
    "Values",
]

Values = Literal[
    "text",
    "optional text",
    "label",
    "numbers",
    "words",
    "tags",
    "list",
    "answers",
    "anything",
    "messages",
    "tools",
    "history",
    "answer",
    "rating",
    "steps",
    "ratings",
    "texts",
    "images",
]
"""What the values of a part are: a filled text, a text or nothing, a label or a list of them, a number or a list of
them, a list of words, of their tags, of anything, SQuAD's answers, whatever there is, a conversation, JSON schemas,
earlier questions with their answers, a text or conversation, good or bad, a list of steps, of which each is good or
bad, any number of texts, or images."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a row."""

    name: str
    values: Values
    columns: tuple[str, ...]
    """Names that a column of it usually has, the part's own first."""
    is_content: bool
    """Whether it says what a row is about, unlike a label or what all rows are told."""


TEXT = Part(
    "text",
    "text",
    (
        *("text", "sentence", "message", "content", "review", "document", "body", "input"),
        *("premise", "sentence1", "question1", "text1", "text_a"),
    ),
    True,
)
TEXT_PAIR = Part("text_pair", "text", ("text_pair", "hypothesis", "sentence2", "question2", "text2", "text_b"), True)
LABEL = Part(
    "label", "label", ("label", "labels", "class", "category", "target", "sentiment", "topic", "output"), False
)
SCORE = Part("score", "numbers", ("score", "similarity_score", "rating", "value", "target", "label"), False)
TOKENS = Part("tokens", "words", ("tokens", "words"), True)
TAGS = Part("tags", "tags", ("tags", "ner_tags", "pos_tags", "labels"), False)
SPANS = Part("spans", "list", ("spans", "entities"), False)
QUESTION = Part("question", "text", ("question", "query"), True)
CONTEXT = Part("context", "text", ("context", "passage", "paragraph"), True)
ANSWERS = Part("answers", "answers", ("answers", "answer"), True)
ANSWER_START = Part("answer_start", "anything", ("answer_start",), False)
DOCUMENT = Part("document", "text", ("document", "article", "dialogue", "text", "source"), True)
SUMMARY = Part("summary", "text", ("summary", "highlights", "abstract", "headline", "target"), True)
PROMPT = Part("prompt", "text", ("prompt", "instruction", "question", "input", "source", "article", "text"), True)
COMPLETION = Part(
    "completion", "text", ("completion", "response", "answer", "output", "target", "summary", "headline"), True
)
INSTRUCTION = Part("instruction", "text", ("instruction",), True)
INPUT = Part("input", "optional text", ("input", "context"), True)
OUTPUT = Part("output", "text", ("output", "response"), True)
MESSAGES = Part("messages", "messages", ("messages", "conversations", "conversation", "dialogue", "chat"), True)
SYSTEM = Part("system", "optional text", ("system",), False)
HISTORY = Part("history", "history", ("history",), True)
TOOLS = Part("tools", "tools", ("tools", FUNCTIONS_COLUMN), False)
REFERENCE = Part(
    "reference", "label", ("reference", "answer", "solution", "ground_truth", "target", "label", "completion"), False
)
CHOSEN = Part("chosen", "answer", ("chosen", "preferred"), True)
RATING = Part("rating", "rating", ("rating", "label", "kto_tag", "desirable"), False)
STEPS = Part("steps", "steps", ("steps", "completions"), True)
STEP_LABELS = Part("step_labels", "ratings", ("step_labels", "labels", "ratings"), False)
IMAGE = Part("image", "images", ("image", "images"), False)
REJECTED = Part("rejected", "answer", ("rejected", "dispreferred"), True)
QUERY = Part("query", "text", ("query", "anchor", "question"), True)
POSITIVE = Part("positive", "text", ("positive", "pos", "positive_passages", "passage", "document", "answer"), True)
NEGATIVE = Part("negative", "texts", ("negative", "negatives", "neg", "negative_passages"), True)
MARGIN = Part("margin", "numbers", ("margin", "margins", "label", "score"), False)
SENTENCE1 = Part("sentence1", "text", ("sentence1", "sentence_1", "text1"), True)
SENTENCE2 = Part("sentence2", "text", ("sentence2", "sentence_2", "text2"), True)
