"""Writes synthetic rows for the recipes of this folder: `python recipes/guides/rows.py [FOLDER]`.

A seeded generator puts every row together from the word lists below. No person, patient, company or contract in them
exists. The rows have the shape of real ones, so that each recipe plans and trains. A score on them says nothing.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["FILES", "main"]

Row = dict[str, Any]

PRODUCTS = ("Router X2", "starter plan", "cloud disk", "team calendar", "travel adapter", "desk lamp", "e-reader")
REASONS = ("arrived damaged", "stopped working", "was charged twice", "never arrived", "has the wrong color")
CLAUSES = {
    "termination": "may end this agreement by written notice of {n} days if the other party breaches section {s}",
    "liability": "is liable for damages up to {n} thousand euros for each event, as section {s} defines it",
    "confidentiality": "keeps the documents of section {s} secret for {n} years after this agreement ends",
    "payment": "pays each invoice within {n} days and interest from then on, according to section {s}",
}
PARTIES = ("The supplier", "The customer", "Either party", "The licensee", "The contractor")
DRUGS = ("metoprolol", "ibuprofen", "insulin", "amoxicillin", "ramipril", "omeprazole")
CONDITIONS = ("hypertension", "chest pain", "type 2 diabetes", "pneumonia", "reflux", "a sprained ankle")
FUNCTIONS = {
    "sum of all even numbers": "return sum(x for x in values if x % 2 == 0)",
    "largest value, or None if there is none": "return max(values, default=None)",
    "values without repeats, in order": "return list(dict.fromkeys(values))",
    "number of values above the mean": "m = sum(values) / len(values)\n    return sum(x > m for x in values)",
    "values in reverse order": "return list(reversed(values))",
}
POSTS = {
    "insult": "you are as clever as a wet {thing}",
    "spam": "buy one {thing}, get three free, click my profile",
    "threat": "I will come and break your {thing}",
}
THINGS = ("kettle", "bicycle", "sofa", "umbrella", "camera", "garden chair", "toaster", "suitcase")
BENEFITS = ("saves an hour a week", "fits in any bag", "works without a manual", "lasts ten years", "weighs 200 grams")
SEGMENTS = ("retail", "logistics", "software", "insurance", "energy")


def support(chance: random.Random, number: int) -> Row:
    """A question of a customer and the reply of an agent."""
    product, reason, order = chance.choice(PRODUCTS), chance.choice(REASONS), 40_000 + number * 7
    reply = f"I am sorry that your {product} {reason}. I opened case {order}; you will hear from us within two days."
    question = (
        f"{chance.choice(('Hello', 'Hi', 'Good morning'))}, my {product} from order {order} {reason}. Please help."
    )
    return {"customer": f"c{number % 60}", "question": question, "reply": reply}


def legal(chance: random.Random, number: int) -> Row:
    """A clause of a contract with its type."""
    kind = chance.choices(list(CLAUSES), (40, 30, 20, 10))[0]
    text = CLAUSES[kind].format(n=chance.randrange(2, 90), s=f"{number % 9 + 1}.{chance.randrange(1, 20)}")
    return {"contract": f"k{number // 8}", "clause": f"{chance.choice(PARTIES)} {text}.", "type": kind}


def medical(chance: random.Random, number: int) -> Row:
    """A note with the places of drug, dose and condition."""
    parts = (
        ("", f"{chance.randrange(20, 90)}-year-old patient, visit {number}, with "),
        ("CONDITION", chance.choice(CONDITIONS)),
        ("", chance.choice((". Started ", ". Continues ", ". Was prescribed "))),
        ("DRUG", chance.choice(DRUGS)),
        ("", " "),
        ("DOSE", f"{chance.randrange(1, 40) * 5} mg"),
        ("", chance.choice((" twice a day.", " in the morning.", " until the next visit."))),
    )
    text, spans = "", []
    for label, words in parts:
        if label:
            spans.append({"start": len(text), "end": len(text) + len(words), "label": label})
        text += words
    return {"patient": f"p{number % 70}", "text": text, "spans": spans}


def code(chance: random.Random, number: int) -> Row:
    """A docstring with the function that it describes."""
    what = chance.choice(list(FUNCTIONS))
    name = f"{chance.choice(('get', 'find', 'compute'))}_{chance.choice(THINGS).replace(' ', '_')}_{number}"
    prompt = f'def {name}(values):\n    """The {what}."""\n'
    return {"repository": f"r{number % 40}", "prompt": prompt, "completion": f"    {FUNCTIONS[what]}\n"}


def moderation(chance: random.Random, number: int) -> Row:
    """A post with any number of labels."""
    labels = [label for label in POSTS if chance.random() < 0.3]
    words = [POSTS[label].format(thing=chance.choice(THINGS)) for label in labels]
    words.insert(0, f"reply {number} about the {chance.choice(THINGS)} in {chance.choice(SEGMENTS)}")
    return {"author": f"a{number % 80}", "forum": chance.choice(SEGMENTS), "text": ", ".join(words), "labels": labels}


def marketing(chance: random.Random, number: int) -> Row:
    """A brief, the copy that editors preferred, and the one that they didn't."""
    product, benefit = chance.choice(PRODUCTS), chance.choice(BENEFITS)
    return {
        "prompt": f"One sentence for campaign {number}: the {product}, which {benefit}.",
        "chosen": f"The {product} {benefit}, and campaign {number} gives you a month to try it.",
        "rejected": f"Revolutionary!!! The {product} of campaign {number} will change your life forever!!!",
    }


def finance(chance: random.Random, number: int) -> Row:
    """A passage of a report, a question and the place of its answer."""
    segment, amount = chance.choice(SEGMENTS), f"{chance.randrange(10, 900)}.{number % 10} million euros"
    other = f"{chance.randrange(2, 60)} percent"
    kind, answer = chance.choice((("revenue", amount), ("margin", other)))
    context = f"In quarter {number} the {segment} segment had revenue of {amount} and a margin of {other}."
    return {
        "company": f"f{number % 50}",
        "published": f"20{10 + number // 24}-{number % 12 + 1:02}-15",
        "question": f"What was the {kind} of the {segment} segment?",
        "context": context,
        "answers": {"text": [answer], "answer_start": [context.index(answer)]},
    }


def tutoring(chance: random.Random, number: int) -> Row:
    """A conversation in which the tutor asks before it explains."""
    a, b = chance.randrange(12, 99), chance.randrange(3, 12)
    turns = (
        ("system", "You are a patient tutor. Ask a question before you explain. Never give the answer first."),
        ("user", f"I don't understand {a} x {b}."),
        ("assistant", f"What is {a // 10 * 10} x {b}?"),
        ("user", f"{a // 10 * 10 * b}"),
        ("assistant", f"Right. Now add {a % 10} x {b} = {a % 10 * b}: what do you get?"),
    )
    return {"student": f"s{number % 60}", "messages": [{"role": role, "content": text} for role, text in turns]}


FILES: Mapping[str, Callable[[random.Random, int], Row]] = {
    "support.jsonl": support,
    "legal.csv": legal,
    "medical.jsonl": medical,
    "code.jsonl": code,
    "moderation.jsonl": moderation,
    "marketing.jsonl": marketing,
    "finance.jsonl": finance,
    "tutoring.jsonl": tutoring,
}
"""How each file's rows are made."""


def main(folder: Path, count: int = 240) -> None:
    """Writes all files, the same ones each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        chance = random.Random(name)
        _write(folder / name, [make(chance, number) for number in range(count)])


def _write(file: Path, rows: Iterable[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        if file.suffix == ".csv":
            first, *_ = rows = list(rows)
            writer = csv.DictWriter(stream, list(first), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
