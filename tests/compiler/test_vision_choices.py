"""What a plan chooses for models that read images, from facts alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftc.compiler.draft import ClosedDraft, Draft
from ftc.compiler.passes import decide
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.resolve.models.vision_config import vision_facts
from ftc.compiler.row_images import images_of_splits
from ftc.compiler.search.suggest import with_suggestions
from ftc.compiler.tokens import compile_data, pixel_client
from ftc.compiler.tokens.stream_manifest import stream_key
from ftc.spec.documents.facts import ModelFacts, PackageFacts, TensorFacts
from ftc.spec.documents.stream_images import ImageSizes
from ftc.spec.documents.streams import RowLengths
from ftc.spec.documents.vision_facts import VisionFacts
from tests.support.drafts import CARD, CPU, decided, draft_of, model_facts, shaped

GENERATION = {"kind": "generation", "prompt": "Q: {{ question }}"}


def seeing(model_type: str, image_token_id: int = 5, **sizes: Any) -> ModelFacts:
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
    facts = model_facts(vision=vision, **sizes)
    beside = {f"model.{part}.linear.weight": TensorFacts(dtype="F32", shape=(64, 64)) for part in vision.parts}
    return facts.model_copy(update={"tensors": {**facts.tensors, **beside}})


def with_images(draft: Draft, rows: Sequence[int]) -> Draft:
    """The draft with 1,100 training rows, of which these have an image each, and with their lengths."""
    sides = np.full(len(rows), 28, dtype=np.int64)
    sizes = {"train": ImageSizes(np.array(rows, dtype=np.int64), sides, sides)}
    each = np.full(draft.splits["train"].rows, 60, dtype=np.int64)
    lengths = {"train": RowLengths(each, each - 20, each - 40, each - 20)}
    return replace(draft, lengths=lengths, row_images=images_of_splits(sizes, draft.model.vision, draft.splits))


def in_full(parts: list[str], *, rows: Sequence[int], **sections: Any) -> ClosedDraft:
    """Full training of these parts, decided, where these of the training rows have an image."""
    strategy = {"kind": "full", "train_parts": parts}
    draft = draft_of(task=GENERATION, strategy=strategy, facts=seeing("llava"), splits={"train": 1100}, **sections)
    return decided(with_images(draft, rows))


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


@pytest.mark.parametrize(
    ("parts", "rows", "found"),
    [
        (["vision_tower", "projector", "language_model"], range(1100), "a trained vision tower"),
        (["projector", "language_model"], range(0, 1100, 2), "some rows have no image"),
        (["projector", "language_model"], (), "some rows have no image"),
        (["projector", "language_model"], range(1100), None),
        (["language_model"], range(0, 1100, 2), None),
    ],
)
def test_parts_without_gradients_are_trained_by_one_process(
    parts: list[str], rows: Sequence[int], found: str | None
) -> None:
    """FTC127 where several are asked for; `auto` takes one where it would take several."""
    asked = in_full(parts, rows=rows, device=CPU, budget={"devices": 2})
    summaries = [one.summary for one in asked.diagnostics if one.code == "FTC127"]
    assert len(summaries) == (found is not None)
    assert all(str(found) in one for one in summaries)
    cards = CARD.model_copy(update={"local": True, "count": 4, "host_bytes": 64 * 2**30})
    chosen = in_full(parts, rows=rows, device=cards, budget={"devices": "auto"}, train={"batch_size": 64})
    assert not [one for one in chosen.diagnostics if one.code == "FTC127"]
    assert (chosen.candidate.devices == 1) == (found is not None)


@pytest.mark.parametrize("rows", [range(1100), range(1, 1100, 3), (1,)])
def test_a_refused_plan_of_many_rows_with_images_names_what_fits(rows: Sequence[int]) -> None:
    """Changes are tried on some of the rows, and on images of the same rows."""
    facts, budget = seeing("llava", hidden=1024, layers=16), {"vram": "1400MiB", "devices": 1}
    train = {"micro_batch": 16, "batch_size": 16, "activation_checkpointing": False}
    draft = draft_of(task=GENERATION, facts=facts, device=CARD, splits={"train": 1100}, train=train, budget=budget)
    draft = shaped(with_images(draft, rows))
    (refusal,) = (one for one in decide(draft).diagnostics if one.code in ("FTC402", "FTC405"))
    found = with_suggestions(draft, decide(draft), decide, decide).diagnostics
    (after,) = (one for one in found if one.code == refusal.code)
    assert any("micro_batch" in line for line in after.help)


def test_a_sample_has_the_images_of_the_rows_whose_lengths_it_has() -> None:
    draft = with_images(draft_of(facts=seeing("llava"), splits={"train": 1100}), range(0, 1100, 2))
    images, lengths = draft.row_images["train"], draft.lengths["train"]
    for most in (2000, 1100, 512, 3):
        some, kept = images.sample(most), np.arange(1100)[:: -(-1100 // most)]
        assert some.rows == len(lengths.sample(most).tokens) == len(kept)
        assert some.weights.tolist() == images.weights[kept].tolist()


def test_sides_that_are_no_numbers_are_faults() -> None:
    for sides in ([[448], [448]], [448, 224], ["448", "448"], [448.0, 448.0], [True, True]):
        facts, faults = vision_facts({"model_type": "llava", "vision_config": {"image_size": sides, "patch_size": 14}})
        assert facts is not None
        assert any("`image_size`" in one for one in faults)


@pytest.mark.parametrize(
    ("model_type", "precision", "refused"),
    [("smolvlm", "bfloat16", True), ("smolvlm", "float32", False), ("idefics3", "bfloat16", False)],
)
def test_features_of_another_type_than_tokens_are_refused(model_type: str, precision: str, refused: bool) -> None:
    train = {"precision": precision}
    undecided = draft_of(
        task=GENERATION, facts=seeing(model_type), strategy={"kind": "qlora"}, train=train, device=CARD
    )
    draft = decided(undecided)
    found = [one.summary for one in draft.diagnostics if one.code == "FTC127"]
    said = "transformers can't join images and tokens of a `smolvlm` model with `qlora` in bfloat16"
    assert found == ([said] if refused else [])
