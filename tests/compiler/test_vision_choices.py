"""What a plan chooses for models that read images, from facts alone."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.tokens import compile_data, pixel_client
from ftc.compiler.tokens.stream_manifest import stream_key
from ftc.spec.documents.facts import ModelFacts, PackageFacts
from ftc.spec.documents.vision_facts import VisionFacts
from tests.support.drafts import decided, draft_of, model_facts

GENERATION = {"kind": "generation", "prompt": "Q: {{ question }}"}


def seeing(model_type: str, image_token_id: int = 5) -> ModelFacts:
    """A model whose tower reads images of one size; it has a chat template."""
    vision = VisionFacts(
        model_type=model_type,
        image_token_id=image_token_id,
        image_size=28,
        patch_size=7,
        tokens_per_image=16,
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=2,
    )
    return model_facts(vision=vision)


@pytest.mark.parametrize(("model_type", "used"), [("llava", True), ("paligemma", False)])
def test_a_chat_template_wraps_no_row_of_a_model_with_words_of_its_own(model_type: str, used: bool) -> None:
    draft = decided(draft_of(task=GENERATION, facts=seeing(model_type)))
    assert draft.settings().text.uses_chat_template is used


def test_streams_belong_to_the_token_for_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another config.json beside the same tokenizer may name another token."""
    monkeypatch.setattr(pixel_client, "processor_key", lambda _: {})
    monkeypatch.setattr(compile_data, "code_digest", lambda *_: "code")
    packages: Any = defaultdict(lambda: PackageFacts(version="1", sha256="0" * 64))
    drafts = [draft_of(task=GENERATION, facts=seeing("llava", number)) for number in (5, 6)]
    keys = [stream_key(compile_data._made_from(draft, {}, packages)) for draft in map(decided, drafts)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json"])
def test_a_processors_files_may_hold_the_chat_template(name: str, tmp_path: Path) -> None:
    words = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(words), encoding="utf-8")
    (tmp_path / name).write_text(json.dumps({"chat_template": "{{ messages }}"}), encoding="utf-8")
    assert read_tokenizer(tmp_path, "llama", has_processor=True).chat_template == "{{ messages }}"
    assert read_tokenizer(tmp_path, "llama").chat_template is None, "a tokenizer alone doesn't read them"
