"""What fixtures need beside their recipe: a model folder, rows, and files that git keeps badly.

A fixture that names `./model` or `rows.csv` and doesn't hold them gets the plain ones. Broken models, odd bytes and
large files are made here by the name of the fixture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ftc import api
from tests.support.model_folder import SHAPES, safetensors_bytes, write_model

__all__ = ["WORLDS", "prepare"]

_TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
_RECIPE = "recipe.yaml"


def prepare(folder: Path, name: str) -> None:
    """Puts everything into a copy of the fixture `name` that isn't committed."""
    recipe = folder / _RECIPE
    text = recipe.read_text(encoding="utf-8") if recipe.exists() else ""
    if "./model" in text and not (folder / "model").exists():
        write_plain_model(folder / "model")
    if "./teacher" in text:
        write_plain_model(folder / "teacher")
        (folder / "teacher" / "model.safetensors").write_bytes(safetensors_bytes(SHAPES, {"of": "a teacher"}))
    if "rows.csv" in text and not (folder / "rows.csv").exists():
        write_plain_rows(folder / "rows.csv")
    if name in WORLDS:
        WORLDS[name](folder)


def write_plain_model(folder: Path, **config: Any) -> None:
    """A whole decoder with a chat template; `config` changes config.json."""
    write_model(folder, **config)
    edit_json(folder / "tokenizer.json", pre_tokenizer={"type": "Whitespace"}, added_tokens=_added_tokens())
    edit_json(folder / "tokenizer_config.json", chat_template=_TEMPLATE, pad_token="<pad>")


def _added_tokens() -> list[dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": number, "content": text, **flags} for number, text in ((3, "<s>"), (4, "</s>"), (5, "<pad>"))]


def write_plain_rows(file: Path) -> None:
    """Twenty rows of text in two classes."""
    rows = [f"{word} number {number},{word}" for number in range(10) for word in ("cold", "warm")]
    file.write_text("\n".join(["text,label", *rows, ""]), encoding="utf-8", newline="\n")


def edit_json(file: Path, **changes: Any) -> None:
    """Changes keys of a JSON object; None takes one away."""
    value = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    file.write_text(json.dumps({key: item for key, item in value.items() if item is not None}), encoding="utf-8")


def _config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "model" / "config.json", **changes)


def _tokenizer_config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "model" / "tokenizer_config.json", **changes)


def _renamed(old: str, new: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        (folder / "model" / old).rename(folder / "model" / new)

    return rename


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def _cut_off_weights(folder: Path) -> None:
    weights = folder / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _missing_shard(folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()
    index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _link_that_leads_out(folder: Path) -> None:
    (folder / "rows.csv").unlink()
    outside = folder.parent / "elsewhere.csv"
    write_plain_rows(outside)
    (folder / "rows.csv").symlink_to(outside)


def _larger_tokenizer(folder: Path) -> None:
    added = [*_added_tokens(), {**_added_tokens()[0], "id": 6, "content": "<tool>"}]
    edit_json(folder / "model" / "tokenizer.json", added_tokens=added)


def _too_many_values(folder: Path) -> None:
    targets = ", ".join(f"m{number}" for number in range(10_001))
    (folder / _RECIPE).write_text(f"strategy: {{kind: lora, targets: [{targets}]}}\n", encoding="utf-8")


def _edited_lock(folder: Path) -> None:
    api.plan(folder / _RECIPE)
    lock = folder / "recipe.lock.json"
    lock.write_text(lock.read_text(encoding="utf-8").replace('"apache-2.0"', '"mit"'), encoding="utf-8")


def _older_lock(folder: Path) -> None:
    api.plan(folder / _RECIPE)
    recipe = folder / _RECIPE
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("{kind: lora}", "{kind: lora, rank: 8}"), "utf-8")


def _parquet_of_bytes(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": pa.array([b"a", b"b"]), "label": ["x", "y"], "image": pa.array([b"\x89PNG", b"\x89PNG"])})
    pq.write_table(table, folder / "rows.parquet")


def _other_vocabulary(folder: Path) -> None:
    tokens = {"a": 0, "c": 1, "b": 2, "<s>": 3}
    edit_json(folder / "teacher" / "tokenizer.json", model={"type": "WordLevel", "vocab": tokens, "unk_token": "a"})


def _other_cuts(folder: Path) -> None:
    edit_json(folder / "teacher" / "tokenizer.json", pre_tokenizer={"type": "WhitespaceSplit"})


def _classifying_teacher(folder: Path) -> None:
    """One that has a head of two labels, which nobody has named."""
    teacher = folder / "teacher"
    edit_json(teacher / "config.json", architectures=["LlamaForSequenceClassification"])
    edit_json(teacher / "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1"})
    (teacher / "model.safetensors").write_bytes(safetensors_bytes({**SHAPES, "score.weight": (2, 8)}))


def _short_teacher(folder: Path) -> None:
    edit_json(folder / "teacher" / "config.json", max_position_embeddings=8)


WORLDS: dict[str, Callable[[Path], None]] = {
    "FTC012": _written(_RECIPE, "ftc: 1\nname: café\n".encode("latin-1")),
    "FTC013": _written(_RECIPE, b"# " + b"x" * 300 * 1024 + b"\nftc: 1\n"),
    "FTC015": _too_many_values,
    "FTC016": _written(_RECIPE, b"ftc: 1\nname: " + b"x" * 70_000 + b"\n"),
    "FTC222": _config(architectures=["BertModel"], model_type="bert"),
    **dict.fromkeys(("FTC252", "FTC253", "FTC344"), _config(architectures=["BertModel"], model_type="bert")),
    "FTC251": _config(architectures=["T5ForConditionalGeneration"], model_type="t5"),
    "FTC220": _tokenizer_config(chat_template=None),
    "FTC300_link": _link_that_leads_out,
    "FTC281": _other_vocabulary,
    "FTC281_cuts": _other_cuts,
    "FTC282_labels": _classifying_teacher,
    "FTC284": _short_teacher,
    "FTC303": _renamed("model.safetensors", "pytorch_model.bin"),
    "FTC304": _cut_off_weights,
    "FTC305": _missing_shard,
    "FTC306": _renamed("tokenizer.json", "vocab.txt"),
    "FTC307": _larger_tokenizer,
    "FTC308": _config(architectures=["MllamaForConditionalGeneration"], model_type="mllama"),
    "FTC309": _config(hidden_size=0),
    "FTC310": _config(auto_map={"AutoModelForCausalLM": "modeling.Mine"}),
    "FTC311": _written("model/config.json", b'{"architectures": ["Llama'),
    "FTC312": _written("model/adapter_config.json", b"{}"),
    "FTC313": _config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "FTC322": _config(vocab_size=7),
    "FTC334": _tokenizer_config(eos_token=None, chat_template=None),
    "FTC337": _tokenizer_config(
        chat_template="{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    ),
    "FTC353": _written("rows.csv", b"PK\x03\x04 and so on"),
    "FTC354": _written("rows.csv", "text,label\ncafé,warm\ntea,cold\n".encode("latin-1")),
    "FTC360": _parquet_of_bytes,
    "FTC502": _edited_lock,
    "FTC503": _older_lock,
    "FTC501": _written("recipe.lock.json", b'{"schema": "ftc.lock/2", "model": {'),
    "FTC504": _written("recipe.lock.json", b'{"schema": "ftc.lock/1"}'),
}
"""What is special about a fixture's surroundings."""
