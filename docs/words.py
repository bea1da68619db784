"""Checks that user-visible texts use the field's words: `python docs/words.py [FILE…]`, part of `nox -s lint`.

It reads the string literals of product code through the syntax tree, the docstrings that become reference pages, the
pages themselves and configuration files, and names each word that may not come back with its place and what to write.
What is in backticks or is one word without spaces is a name (a key, a verb, a value of a document) and no text, so it
is left alone.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

__all__ = ["WORDS", "Hit", "Word", "hits_in_page", "hits_in_python", "main"]

ROOT = Path(__file__).resolve().parents[1]
CODE = ("spec", "compiler", "runtime", "src/ftc")
DOCUMENTED = ("spec/sections", "src/ftc/api.py")
"""Code whose docstrings become pages, completions or the help of the Python functions."""
PAGES = (
    *("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "recipes/README.md", "recipes/demo/README.md"),
    *("docs/[!e]*.md", "docs/errors.md", "docs/*/*.md", "docs/*.yml", "benchmarks/README.md"),
    *("noxfile.py", "pyproject.toml", ".github/*/*.yml", ".github/*.md", "Dockerfile"),
)


class Word(NamedTuple):
    """A word that may not come back.

    Attributes:
        pattern: Regular expression, matched between word boundaries and without regard to case.
        instead: What to write.
        unless: Regular expression of longer matches that are fine, such as `look up` for `look`.
    """

    pattern: str
    instead: str
    unless: str = ""


WORDS: tuple[Word, ...] = (
    Word("look(s|ed|ing)? at|looks?", "evaluate, check, read", r"looks? (up|like|the same|different)"),
    Word("mend(s|ed|ing)?", "fix"),
    Word("tells?|telling|told", "show, report, warn, name", r"told apart|tells? .{1,30} apart"),
    Word(r"(held|holds?|holding)( \S+){0,3} against", "compare with"),
    Word("stretch(es)?", "segment, span"),
    Word("closed form", "analytical estimate"),
    Word("learnt", "learned, trained on"),
    Word("supervised tokens?", "target tokens"),
    Word("row labels? learned", "training labels"),
    Word(r"contaminat\w+", "n-gram overlap, leakage"),
    Word("copies of (a |the )?rows?|near cop(y|ies)", "duplicates, near duplicates"),
    Word("alike", "equal, near duplicates"),
    Word("damaged text", "encoding errors"),
    Word("odd lengths?", "length outliers"),
    Word("ladders?|rungs?", "step log, weight checksum"),
    Word("whence|who-used", "provenance, used-by"),
    Word("seals?|sealed|sealing", "checksum; held out"),
    Word("weights of chance|drawn by chance", "randomly initialized"),
    Word(
        "graphics cards?|(a|the|this|one|several|many|larger|older|each) cards?|cards? of one machine",
        "GPU",
        "(a|the|this|one|each) cards? (decides?|knows?|of|with|that|has|says?)|model cards?",
    ),
    Word(r"micro-batch(es)? (of )?\d+", "per-device batch size"),
    Word("nats a", "nats per"),
    Word("mistakes? for what", "confusion matrix"),
    Word("sure on average|as sure as|surer than", "confidence, calibration"),
    Word("no difference shown", "not significant"),
    Word(
        "pass(es|ed)? over (a|the|soft|any) |passing over",
        "waive, override, skip",
        "passes over (the )?(training )?(data|rows)",
    ),
    Word("lays? out|laid out", "format"),
    Word("hosts?' ?s? memory|host's memory|memory of the host", "host RAM"),
    Word("processors?", "CPU", "((pre|post)-?|image )processors?"),
    Word("keys and values", "KV cache", r"(000|}) keys and values"),
    Word("way there|way back|there and back", "forward, backward"),
    Word("shortened gradients?", "clipped gradients"),
    Word("(let|lets|letting) go( of)?", "free"),
    Word("stands?|stood", "is, be", "stands? alone"),
    Word("for want of", "because there is no"),
    Word("nothing is known of", "not measured, not estimated"),
    Word("by luck", "within the margin of error"),
    Word("borne", "accepted, allowed"),
    Word("dealt|by lot", "random"),
    Word("spoken to", "configured"),
    Word("anew", "again"),
    Word("seldom", "rarely"),
    Word("worst and best rows", "highest-loss and lowest-loss examples"),
    Word("planned and happened", "planned vs actual"),
    Word("answer of the data", "reference answer"),
    Word(
        r"\w*(optimis|normalis|quantis|recognis|initialis|organis|serialis|tokenis|summaris|minimis|materialis|regularis)"
        r"(e|es|ed|er|ers|ing|ation|ations)",
        "American spelling: -ize",
    ),
    Word(
        r"behaviours?|colou?red by|colours?|licences?|favours?|centres?|labell(ed|ing)|modell(ed|ing)|catalogues?",
        "American spelling",
    ),
)

ALLOWED: tuple[tuple[str, str, str], ...] = (
    ("spec/documents/*", "closed form|optimiser|quantisation", "a value in plans and records"),
    ("spec/documents/judging.py", "stands", "sent to the judge: other words could give other grades"),
    ("compiler/memory/*", "closed form|optimiser", "a value in plans"),
    ("compiler/passes/fit_budget.py", "closed form", "a value in plans"),
    ("runtime/memory_trace/*", "optimiser|quantisation", "a value in plans"),
    ("src/ftc/views/estimates.py", "optimiser|quantisation", "a value in plans"),
    ("src/ftc/views/checks.py", "contamination", "the name of a check in plans of earlier releases"),
    ("src/ftc/views/card.py", "this card", "a model card"),
    ("docs/architecture.md", ".* cards?", "a card holds the facts about what people add"),
    ("benchmarks/README.md", "the cards", "a card holds the facts about what people add"),
    ("CONTRIBUTING.md", ".* cards?", "a card holds the facts about what people add"),
)
"""Where a word is right all the same: files, what is matched, why. Document values change with their schema's name."""


class Hit(NamedTuple):
    """A word in a text.

    Attributes:
        place: File and line.
        found: The word as it is written.
        instead: What to write.
    """

    place: str
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.place}: `{self.found}`: write {self.instead}"


def main(names: list[str]) -> int:
    """Prints the hits in the named files, or in all of the project's; 1 if there are any."""
    hits = [hit for file in (map(Path, names) if names else _files()) for hit in _hits(file)]
    for hit in hits:
        print(hit)
    return 1 if hits else 0


def hits_in_page(text: str, name: str) -> Iterator[Hit]:
    """Hits in a page of Markdown. Inline code is a name; a block of code is output that users read."""
    yield from _found(text, name, 1)


def hits_in_python(text: str, name: str, *, docstrings: bool) -> Iterator[Hit]:
    """Hits in the string literals of a Python file, and in its docstrings where users read them."""
    tree = ast.parse(text)
    skipped = set() if docstrings else {id(node) for node in _docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            yield from _found("".join(map(_text_of, node.values)), name, node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield from _found(node.value, name, node.lineno)


def _docstrings(tree: ast.AST) -> Iterator[ast.expr]:
    """Every string that is a statement of its own: docstrings of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _text_of(part: ast.expr) -> str:
    """A part of an f-string; a placeholder for what is computed."""
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{}"


def _found(text: str, name: str, line: int) -> Iterator[Hit]:
    """Hits in a text whose first line has this number. One word alone is a name."""
    if " " not in text.strip():
        return
    prose = re.sub(r"`[^`\n]+`|\w+\.ndjson", lambda match: "`" * len(match[0]), text)
    for word in WORDS:
        fine = [match.span() for match in _matches(word.unless, prose)] if word.unless else []
        for match in _matches(word.pattern, prose):
            if any(begin <= match.start() and match.end() <= end for begin, end in fine) or _is_allowed(name, match[0]):
                continue
            yield Hit(f"{name}:{line + prose.count(chr(10), 0, match.start())}", match[0], word.instead)


def _matches(pattern: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, re.IGNORECASE)


def _is_allowed(name: str, found: str) -> bool:
    return any(fnmatch(name, files) and re.fullmatch(words, found, re.IGNORECASE) for files, words, _ in ALLOWED)


def _hits(file: Path) -> Iterator[Hit]:
    name = file.resolve().relative_to(ROOT).as_posix() if file.resolve().is_relative_to(ROOT) else file.name
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py" and name not in PAGES:
        yield from hits_in_python(text, name, docstrings=name.startswith(DOCUMENTED))
    else:
        yield from hits_in_page(text, name)


def _files() -> Iterator[Path]:
    for pattern in PAGES:
        yield from sorted(ROOT.glob(pattern))
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in file.parents):
                yield file


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
