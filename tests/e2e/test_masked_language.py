"""Masked language modeling from rows to what others load: the same perplexity, and masked words filled in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from ftc import api
from ftc.spec.documents.streams import open_stream
from ftc.spec.masking import written
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner

_MASK = 3


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_perplexity_is_that_of_the_saved_model_and_masks_are_filled_in(
    project: MakeProject, ftc: Ftc, cards: CardRunner, strategy: str, tmp_path: Path
) -> None:
    project("masked_language_modeling", strategy, steps=4)
    applied = api.apply(Path("recipe.yaml"))
    measured, run = applied.evaluation, applied.record.id
    assert measured is not None
    assert measured.base is not None
    assert measured.tuned.metrics.keys() == measured.base.metrics.keys() == {"perplexity"}
    audited = ftc("audit", run)
    assert audited.code == 0, audited.text
    cards.run(applied.folder / "README.md")

    folder = applied.folder / "model"
    if strategy != "full":
        folder = tmp_path / "merged"
        merged = ftc("run", "merge", run, "-o", folder, "--dtype", "float32")
        assert merged.code == 0, merged.text
    import torch
    import transformers

    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = open_stream(streams_folder(applied.plan.stream_key) / "test.arrow")
    losses = []
    for number in range(len(rows)):
        ids, right = torch.tensor([rows.ids(number).tolist()]), written(rows.targets[number]).tolist()
        with torch.inference_mode():
            said = model(input_ids=ids).logits[0].log_softmax(dim=-1)
        losses += [-said[at, right[at]].item() for at in np.flatnonzero(rows.mask(number)).tolist()]
    assert measured.tuned.metrics["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)

    Path("texts.txt").write_text("\n".join(["no mask"] * 7 + ["the <unk>" + " bank" * 99]), encoding="utf-8")
    told = ftc("predict", run, "--data", "texts.txt")
    assert told.out.count("no `<unk>` to fill in") == 7, told.text
    assert "FTC691" in told.err, "a text that was shortened is named"
    answer = ftc("predict", run, "the bank raised the <unk> of a share")
    assert answer.code == 0, answer.text
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("the bank raised the <unk> of a share", return_tensors="pt").input_ids
    with torch.inference_mode():
        ids[ids == _MASK] = model(input_ids=ids).logits[ids == _MASK].argmax(dim=-1)
    assert answer.out.strip() == str(tokenizer.decode(ids[0, 1:-1])).strip()


def test_each_block_has_whole_texts_between_marks_and_as_many_masks(project: MakeProject) -> None:
    project("masked_language_modeling", "full", more="")
    plan = api.plan(Path("recipe.yaml")).plan
    rows = open_stream(streams_folder(plan.stream_key) / "train.arrow")
    assert len(rows) > 1
    for number in range(len(rows)):
        kept, mask, ids = rows.targets[number], rows.mask(number), rows.ids(number)
        whole = written(kept)
        assert (whole[0], whole[-1]) == (1, 2), "what the tokenizer adds"
        assert not mask[kept < 0].any(), "it is never masked"
        words = int((kept >= 0).sum())
        assert int(mask.sum()) == max(1, int(0.15 * words + 0.5))
        assert (ids == whole)[~mask].all()
    assert plan.data["train"].supervised_tokens == int(rows.all_masks.sum())


@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_a_tokenizer_without_masks_is_refused(project: MakeProject, ftc: Ftc, model: str) -> None:
    project("masked_language_modeling", "full", model=model)
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC279]" in refused.err) == (3, True), refused.text
    assert "no mask token" in refused.text


def test_an_encoder_without_its_layers_over_words_is_refused(project: MakeProject, ftc: Ftc) -> None:
    root = project("masked_language_modeling", "full", model="encoder")
    file = root / "encoder" / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "mask_token": "<unk>"}), encoding="utf-8")
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC279]" in refused.err) == (3, True), refused.text
    assert "holds no layers that score words" in refused.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["distilbert", "electra", "modernbert", "roberta"])
def test_adapters_of_other_encoders_leave_the_layers_over_words_alone(
    project: MakeProject, models: Path, ftc: Ftc, kind: str
) -> None:
    import transformers

    folder = models / f"masked_{kind}"
    shutil.copytree(models / "masked_encoder", folder)
    size: int = json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "distilbert":
        shape = {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, vocab_size=size, max_position_embeddings=66, **shape, **ends)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    project("masked_language_modeling", "lora", steps=1, model=folder.name)
    applied = ftc("apply", "recipe.yaml", "--yes")
    assert applied.code == 0, applied.text
