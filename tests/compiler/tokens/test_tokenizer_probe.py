"""Probes: what a tokenizer and a template do, not what their files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.make_streams import render_probe, tokenizer_probe
from ftc.compiler.tokens.sandbox import TemplateRenderer

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": None}
TEMPLATE = "{% for m in messages %}{{ bos_token }}{{ m.role }}: {{ m.content }}{% endfor %}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A byte-level tokenizer without merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = {char: number for number, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_tokenizer_that_behaves_otherwise_has_another_probe(file: Path) -> None:
    before = tokenizer_probe(TextTokenizer(file))
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config, indent=4))
    assert tokenizer_probe(TextTokenizer(file)) == before, "another layout of the file changes nothing"
    config["pre_tokenizer"]["add_prefix_space"] = True
    file.write_text(json.dumps(config))
    assert tokenizer_probe(TextTokenizer(file)) != before


def test_a_template_that_renders_otherwise_has_another_probe() -> None:
    with TemplateRenderer() as renderer:
        first = render_probe(TEMPLATE, TOKENS, renderer)
        assert first is not None
        assert render_probe(f"{{# remark #}}{TEMPLATE}", TOKENS, renderer) == first
        assert render_probe(TEMPLATE.replace(": ", ":"), TOKENS, renderer) != first
        assert render_probe("{{ raise_exception('no') }}", TOKENS, renderer) is None
