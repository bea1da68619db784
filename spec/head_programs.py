"""Lines of Python that print what an exported graph says of texts, by kind of head.

They stand behind lines that give `texts`, what they are `encoded` as, `outputs` by name, and where a head has such,
`names` and `scales`.
"""

from __future__ import annotations

__all__ = ["ANSWER", "LABEL", "LABELS", "NUMBERS", "TAGS", "VECTORS"]

VECTORS = (
    'for text, vector in zip(texts, outputs["sentence_embedding"], strict=True):',
    "    print(text, *(vector / np.linalg.norm(vector)))",
)
LABEL = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    '    print(text, names[scores.argmax()], sep="\\t")',
)
LABELS = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    '    print(text, *[name for name, score in zip(names, scores, strict=True) if score > 0], sep="\\t")',
)
NUMBERS = (
    'for text, scores in zip(texts, outputs["logits"], strict=True):',
    "    numbers = [mean + spread * score for (mean, spread), score in zip(scales, scores, strict=True)]",
    '    said = (f"{name} {number:g}" for name, number in zip(names, numbers, strict=True))',
    '    print(text, *said, sep="\\t")',
)
TAGS = (  # each word has the tag of the first token whose characters reach into it
    'for text, one, scores in zip(texts, encoded, outputs["logits"], strict=True):',
    "    begin, tagged = 0, []",
    "    for word in text.split():",
    "        begin = text.index(word, begin)",
    "        tags = (line for line, (_, end) in zip(scores, one.offsets, strict=True) if end > begin)",
    '        tagged.append(f"{word}/{names[next(tags).argmax()]}")',
    "    print(*tagged)",
)
ANSWER = (  # texts are pairs of a question and a context; the first place stands for no answer
    'starts, ends = outputs["start_logits"], outputs["end_logits"]',
    "for (question, context), one, start, end in zip(texts, encoded, starts, ends, strict=True):",
    "    inside = [place for place, part in enumerate(one.sequence_ids) if part == 1]",
    "    pairs = [(start[a] + end[b], a, b) for a in inside for b in inside if a <= b]",
    "    score, first, last = max(pairs)",
    "    found = context[one.offsets[first][0] : one.offsets[last][1]]",
    '    print(question, found if score > start[0] + end[0] else "no answer", sep="\\t")',
)
