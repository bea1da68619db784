"""Ranks the test rows of `recipes/tasks/evidence.yaml` by the words that claim and sentence have in common, by TF-IDF.

python recipes/tasks/fetch.py && python benchmarks/evidence.py
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

DATA = Path(__file__).resolve().parents[1] / "recipes" / "tasks" / "data"


def main() -> None:
    """Prints nDCG@10 and recall@1 over the test rows; word frequencies are those of the training rows."""
    train, test = rows("train"), rows("test")
    weights = TfidfVectorizer().fit([text for row in train for text in (row["query"], *texts(row))])
    ranks = []
    for row in test:
        scores = (weights.transform(texts(row)) @ weights.transform([row["query"]]).T).toarray()[:, 0]
        ranks.append(1 + int((scores[1:] >= scores[0]).sum()))
    gains = [1 / math.log2(1 + rank) if rank <= 10 else 0.0 for rank in ranks]
    print(f"{len(test)} rows, nDCG@10 {sum(gains) / len(test):.3f}, recall@1 {ranks.count(1) / len(test):.3f}")


def rows(part: str) -> list[dict[str, Any]]:
    """The rows of a part."""
    lines = (DATA / f"evidence-{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def texts(row: dict[str, Any]) -> list[str]:
    """A row's sentences, the right one first."""
    return [row["positive"], *row["negative"]]


if __name__ == "__main__":
    main()
