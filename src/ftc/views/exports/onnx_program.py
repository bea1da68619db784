"""The program beside an ONNX file, which uses it with onnxruntime and the tokenizer alone. Pure functions."""

from __future__ import annotations

import json

from ftc.spec.documents.plan import Plan
from ftc.spec.heads import head_card

__all__ = ["labels_file", "program"]

LABELS_FILE = "labels.json"
"""Names of the outputs, in their order, and the scales of numbers."""


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
    vectors, pairs = settings.train.embedding, head.finds_spans
    prefix = json.dumps(vectors.query_prefix, ensure_ascii=False) if vectors and vectors.query_prefix else ""
    usage = "QUESTION CONTEXT" if pairs else "TEXT..."
    read = "[(sys.argv[1], sys.argv[2])]" if pairs else "sys.argv[1:] or sys.stdin.read().splitlines()"
    options = ', strategy="only_second"' if pairs else ""
    named = head.names_outputs
    names = [f'known = json.loads((folder / "{LABELS_FILE}").read_text(encoding="utf-8"))', 'names = known["names"]']
    scaled = [] if head.chooses else ['scales = known["scales"]']
    return "\n".join(
        (
            f'"""Says what the model makes of texts: python use.py {usage}',
            "",
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
            f"tokenizer.enable_truncation({settings.text.max_length}{options})",
            f"tokenizer.enable_padding(pad_id={settings.model.pad_id})",
            f"model = onnxruntime.InferenceSession(str(folder / {json.dumps(file)}))",
            *([*names, *scaled] if named else []),
            f"texts = {read}",
            f"encoded = tokenizer.encode_batch({f'[{prefix} + text for text in texts]' if prefix else 'texts'})",
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
