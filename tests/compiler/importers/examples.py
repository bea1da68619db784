"""Configurations in the style of each tool, made for these tests, and a small world around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ftc.compiler.importers.foreign import read_foreign
from ftc.compiler.importers.translate import import_configuration
from ftc.compiler.importers.translation import Key, Options, Surroundings
from ftc.spec.documents.imported import Imported
from ftc.spec.language.foreign_yaml import plain
from ftc.spec.language.source import read_source
from ftc.spec.language.yaml_nodes import Mapping, Node, Sequence

FOLDER = Path(__file__).with_name("configurations")
NAMES = tuple(sorted(path.name for path in FOLDER.iterdir()))

FILES: dict[str, bytes] = {
    "tickets.jsonl": b"",
    "data/dataset_info.json": json.dumps(
        {
            "tickets_registered": {
                "file_name": "tickets.json",
                "columns": {"prompt": "question", "query": "context", "response": "answer"},
            },
            "on_the_hub": {"hf_hub_url": "acme/tickets"},
            "with_turns": {"file_name": "turns.json", "formatting": "sharegpt"},
            "with_history": {
                "file_name": "tickets.json",
                "columns": {"prompt": "instruction", "response": "output", "system": "rules", "history": "before"},
            },
            "with_messages": {
                "file_name": "turns.json",
                "formatting": "sharegpt",
                "columns": {"messages": "turns"},
                "tags": {
                    "role_tag": "role",
                    "content_tag": "content",
                    "user_tag": "user",
                    "assistant_tag": "assistant",
                },
            },
            "ranked": {"file_name": "pairs.json", "ranking": True},
            "strange": ["not", "an", "entry"],
        }
    ).encode(),
    "data/tickets.json": b"",
    "listed.yaml": b"tickets: {path: tickets.jsonl, source: local, converter: alpaca}\n",
}
"""Files beside the configurations."""

AXOLOTL = "base_model: acme/brook\nmicro_batch_size: 2\ndatasets: [{path: tickets.jsonl, type: alpaca}]\n"
FACTORY = "model_name_or_path: acme/brook\nstage: sft\ndataset: tickets_registered\n"
MIXED = (
    "base_model: acme/brook\nmicro_batch_size: 2\n"
    "datasets: [{path: acme/tickets, type: alpaca}, {path: c.jsonl, type: alpaca, data_files: c.jsonl}]\n"
)
TRL = "model_name_or_path: acme/brook\ndataset_name: tickets.jsonl\n"
OUMI = "model: {model_name: acme/brook}\ntraining: {use_peft: false}\n"
TUNE = "model: {_component_: torchtune.models.qwen3.qwen3_4b_instruct}\ncheckpointer: {checkpoint_dir: /tmp/Qwen3-4B}\n"

AROUND = Surroundings(locate=lambda path: path if path in FILES else None, read=FILES.get)


def import_text(text: str | bytes, file: str = "job.yaml", *, tool: str | None = None, **options: str) -> Imported:
    """Imports a text with the files above around it."""
    data = text.encode() if isinstance(text, str) else text
    return import_configuration(data, file, tool=tool, options=Options(**options), around=AROUND)


ASKED = {"openai_job.json": {"data": "tickets.jsonl", "base": "acme/brook"}}
"""What has to be given beside a configuration that names nothing that is to be had elsewhere."""


def import_example(name: str, **options: str) -> Imported:
    """Imports one of the configurations."""
    return import_text((FOLDER / name).read_bytes(), name, **{**ASKED.get(name, {}), **options})


def recipe_values(imported: Imported) -> dict[str, Any]:
    """The recipe's values by dotted path."""
    assert imported.recipe is not None, [reason.summary for reason in imported.reasons]
    source, findings = read_source(imported.recipe, "recipe.yaml")
    assert source is not None, findings
    return dict(_flat(source.plain(), ""))


def leaves(node: Node, above: Key = ()) -> Iterator[Key]:
    """Every key of a configuration that holds no further keys."""
    if isinstance(node, Mapping) and node.entries:
        for name, entry in node.entries.items():
            yield from leaves(entry.node, (*above, name))
    elif isinstance(node, Sequence) and any(isinstance(item, Mapping) for item in node.items):
        for index, item in enumerate(node.items):
            yield from leaves(item, (*above, index))
    else:
        yield above


def read_plain(text: str) -> dict[str, Any]:
    """A configuration's values."""
    values = plain(read_foreign(text.encode(), "job.yaml").root)
    assert isinstance(values, dict)
    return values


def _flat(value: Any, above: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{above}.{key}".lstrip("."))
    else:
        yield above, value
