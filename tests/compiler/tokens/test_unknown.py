"""Answers with characters that a tokenizer has no token for: the model can never write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ftc.cli.main import main
from ftc.compiler.tokens.encoder import TextTokenizer
from tests.support.model_folder import SHAPES, safetensors_bytes, write_model

PIECES = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<pad>", 0.0), ("▁", -2.0)]
PIECES += [(letter, -3.0) for letter in 'abcdefghijklmnopqrstuvwxyz0123456789":']


def write_pieces(folder: Path, **changes: Any) -> None:
    """A Unigram without braces and line breaks, as T5's is."""
    write_model(folder, vocab_size=64)
    wide = {"model.embed_tokens.weight": (64, 8), "lm_head.weight": (64, 8)}
    (folder / "model.safetensors").write_bytes(safetensors_bytes({**SHAPES, **wide}))
    made = Tokenizer(models.Unigram(PIECES, 0, False))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.add_special_tokens([name for name, _ in PIECES[:4]])
    plain = json.loads(made.to_str())
    plain["model"] |= changes
    (folder / "tokenizer.json").write_text(json.dumps(plain), encoding="utf-8")
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")


def planned(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, kind: str = "generation"
) -> list[dict[str, Any]]:
    answers = [f"total: {n}" if n % 4 else f'{{"total": {n}}}' for n in range(40)]
    rows: list[dict[str, str]] = [
        {"prompt": f"bill {n} {{ x }}", "completion": answer}
        if kind == "generation"
        else {"prompt": f"bill {n}", "chosen": answer, "rejected": f"sum: {n}"}
        for n, answer in enumerate(answers)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(
        f"ftc: 1\nname: t\ntask: {{kind: {kind}}}\ndata: {{source: {{path: rows.jsonl}}}}\nmodel: {{base: ./model}}\n"
        "strategy: {kind: lora, targets: [q_proj]}\n",
        encoding="utf-8",
    )
    asked = ["plan", "recipe.yaml", "--offline", "--json", "--set", "data.split.test=0"]
    assert main([*asked, "--set", "data.split.validation=0", *more]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["diagnostics"]
    return found


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ftc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))


def test_answers_that_no_token_spells_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pieces(tmp_path / "model")
    (found,) = [one for one in planned(tmp_path, capsys) if one["code"] == "FTC349"]
    assert "10 rows teach" in found["summary"], "those whose answer has a brace, and not those whose prompt has"
    assert "`<unk>`" in found["summary"]
    assert found["notes"][0] == "train: 10 of 40 rows"
    assert "rows.jsonl:1" in found["notes"][1]


@pytest.mark.parametrize(("kind", "writes"), [("preference", True), ("reward", False)])
def test_a_model_that_writes_nothing_needs_no_such_characters(
    kind: str, writes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pieces(tmp_path / "model")
    assert ("FTC349" in [one["code"] for one in planned(tmp_path, capsys, kind=kind)]) is writes


def test_added_tokens_spell_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pieces(tmp_path / "model")
    added = ["--set", "model.add_tokens=['{', '}']"]
    assert "FTC349" not in [one["code"] for one in planned(tmp_path, capsys, *added)]


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({}, (0, "<unk>")),
        ({"unk_id": None}, None),
        ({"byte_fallback": True}, None),
        ({"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1}, "unk_token": "<unk>"}, (0, "<unk>")),
        ({"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}, None),
        ({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": "<s>"}, (1, "<s>")),
        ({"type": "BPE", "vocab": {"a": 0}, "merges": [], "unk_token": None}, None),
    ],
)
def test_the_token_for_what_is_unknown(
    changes: dict[str, Any], unknown: tuple[int, str] | None, tmp_path: Path
) -> None:
    write_pieces(tmp_path / "model", **changes)
    assert TextTokenizer(tmp_path / "model" / "tokenizer.json").unknown == unknown
