"""The program beside an ONNX file, which uses it with onnxruntime and the tokenizer alone. Pure functions."""

from __future__ import annotations

import json

from ftc.spec.documents.plan import Plan
from ftc.spec.head_programs import USAGE, given
from ftc.spec.heads import head_card

__all__ = ["labels_file", "program"]

LABELS_FILE = "labels.json"
"""Names of the outputs, in their order, and the scales of numbers."""

_TEXTS = (
    "texts = words or sys.stdin.read().splitlines()",
    "if not texts:",
    '    sys.exit("usage: python use.py USAGE")',
)
_PAIRS = (
    "if not words or len(words) % 2:",
    '    sys.exit("usage: python use.py USAGE")',
    "texts = list(zip(words[::2], words[1::2], strict=True))",
)
_PASSAGES = ('if words[:1] == ["--passage"]:', "    words, prefix = words[1:], PREFIX")
_CUT = ("tokenizer.enable_truncation(LENGTH)",)
_ROOM = (  # a context is cut, a question isn't
    "room = LENGTH - tokenizer.num_special_tokens_to_add(is_pair=True)",
    "if any(len(tokenizer.encode(question, add_special_tokens=False)) >= room for question, _ in texts):",
    '    sys.exit(f"a question may have {room - 1} tokens at most")',
    'tokenizer.enable_truncation(LENGTH, strategy="only_second")',
)


def labels_file(plan: Plan) -> str | None:
    """What each output is called, and how a number is turned back; None where outputs have no names."""
    if not head_card(plan.settings.model.head).names_outputs:
        return None
    names, rated = list(plan.settings.text.labels), plan.settings.train.regression
    scales = [[one.mean, one.spread] for one in rated.scales] if rated else [[0.0, 1.0]] * len(names)
    numbers = {} if head_card(plan.settings.model.head).chooses else {"scales": scales}
    return json.dumps({"names": names, **numbers}, ensure_ascii=False, indent=2) + "\n"


def program(plan: Plan, file: str) -> str:
    """Lines of Python that read texts from the command line, or the standard input, and print what the model says.

    Args:
        plan: The run's plan.
        file: Name of the ONNX file beside it.
    """
    settings, head = plan.settings, head_card(plan.settings.model.head)
    kind = given(settings.text.columns, finds_spans=head.finds_spans)
    vectors, length = settings.train.embedding, settings.text.max_length
    query, passage = (vectors.query_prefix, vectors.passage_prefix) if vectors else ("", "")
    has_passages = vectors is not None and not vectors.card.needs_score and query != passage
    usage = f"[--passage] {USAGE[kind]}" if has_passages else USAGE[kind]
    is_prefixed, named = has_passages or bool(query), head.names_outputs
    names = [f'known = json.loads((folder / "{LABELS_FILE}").read_text(encoding="utf-8"))', 'names = known["names"]']
    scaled = [] if head.chooses else ['scales = known["scales"]']
    return "\n".join(
        (
            f'"""Says what the model makes of {kind}: python use.py {usage}',
            "",
            *(["Texts are queries; behind --passage they are passages.", ""] if has_passages else []),
            "It needs three packages: pip install numpy onnxruntime tokenizers",
            '"""',
            "",
            *(["import json"] if named else []),
            "import sys",
            "from pathlib import Path",
            "",
            "import numpy as np",
            "import onnxruntime",
            "from tokenizers import Tokenizer",
            "",
            "folder = Path(__file__).parent",
            'tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))',
            "words = sys.argv[1:]",
            *([f"prefix = {json.dumps(query, ensure_ascii=False)}"] if is_prefixed else []),
            *([line.replace("PREFIX", json.dumps(passage, ensure_ascii=False)) for line in _PASSAGES if has_passages]),
            *(line.replace("USAGE", usage) for line in (_TEXTS if kind == "texts" else _PAIRS)),
            *(line.replace("LENGTH", str(length)) for line in (_ROOM if kind == "questions" else _CUT)),
            f"tokenizer.enable_padding(pad_id={settings.model.pad_id})",
            f"model = onnxruntime.InferenceSession(str(folder / {json.dumps(file)}))",
            *([*names, *scaled] if named else []),
            f"encoded = tokenizer.encode_batch({'[prefix + text for text in texts]' if is_prefixed else 'texts'})",
            *(['texts = ["\\t".join(pair) for pair in texts]'] if kind == "pairs" else []),
            *([f"longest = {settings.eval.max_answer_tokens}"] if kind == "questions" else []),
            "arrays = {",
            '    "input_ids": [one.ids for one in encoded],',
            '    "attention_mask": [one.attention_mask for one in encoded],',
            '    "token_type_ids": [one.type_ids for one in encoded],',
            "}",
            "inputs = {one.name: np.array(arrays[one.name], dtype=np.int64) for one in model.get_inputs()}",
            f"wanted = {json.dumps(list(head.file_outputs))}",
            "outputs = dict(zip(wanted, model.run(wanted, inputs), strict=True))",
            *head.file_example,
            "",
        )
    )
