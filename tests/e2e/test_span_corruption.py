"""Span corruption from rows to what others load: the same perplexity, and missing spans written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from ftc import api
from ftc.spec.documents.streams import open_stream
from ftc.spec.span_corruption import span_counts
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_perplexity_is_that_of_the_saved_model_and_spans_are_written(
    project: MakeProject, ftc: Ftc, cards: CardRunner, strategy: str, tmp_path: Path
) -> None:
    project("span_corruption", strategy, steps=4)
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

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    rows = open_stream(streams_folder(applied.plan.stream_key) / "test.arrow")
    losses = []
    for number in range(len(rows)):
        ids, mask = torch.tensor(rows.ids(number).tolist()), torch.tensor(rows.mask(number).tolist())
        with torch.inference_mode():
            said = model(input_ids=ids[~mask][None], labels=ids[mask][None]).logits[0].log_softmax(dim=-1)
        losses += (-said.gather(1, ids[mask][:, None]).squeeze(1)).tolist()
    assert measured.tuned.metrics["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-4)

    Path("texts.txt").write_text("no span\nthe <extra_id_0>" + " bank" * 99, encoding="utf-8")
    told = ftc("predict", run, "--data", "texts.txt")
    assert told.out.count("no `<extra_id_0>` to write a span for") == 1, told.text
    assert "FTC691" in told.err, "a text that was shortened is named"
    text = "the bank <extra_id_0> the rates of <extra_id_1>"
    answer = ftc("predict", run, text, "--max-new-tokens", "5")
    assert answer.code == 0, answer.text
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([[*tokenizer(text).input_ids, 2]])
    written = model.generate(ids, max_new_tokens=5, do_sample=False)[0][1:]
    shown = [one for one in written.tolist() if one > 3]  # sentinels are special, too
    assert answer.out.strip() == str(tokenizer.decode(shown)).strip()


def test_blocks_follow_each_other_and_have_as_many_spans(project: MakeProject) -> None:
    project("span_corruption", "full", more="")
    plan = api.plan(Path("recipe.yaml")).plan
    spans = plan.settings.train.spans
    assert spans is not None
    rows = open_stream(streams_folder(plan.stream_key) / "train.arrow")
    assert len(rows) > 1
    for number in range(len(rows)):
        kept, mask, ids = rows.targets[number], rows.mask(number), rows.ids(number)
        counts = span_counts(len(kept), 0.15, 3.0)
        assert rows.prompt_length(number) == counts.num_read(len(kept)) == (~mask).sum() <= 64
        assert mask.sum() == counts.num_written
        assert np.isin(ids[mask], spans.sentinels).sum() == counts.spans
        assert ids[-1] == ids[~mask][-1] == spans.end_id
    assert plan.data["train"].supervised_tokens == int(rows.all_masks.sum())


@pytest.mark.parametrize("model", ["encoder_decoder", "bart", "decoder", "masked_encoder"])
def test_a_model_without_sentinels_is_refused(project: MakeProject, ftc: Ftc, model: str) -> None:
    project("span_corruption", "full", model=model)
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC477]" in refused.err) == (3, True), refused.text
    assert "no sentinel" in refused.text


def test_too_few_sentinels_for_a_block_are_refused(project: MakeProject, ftc: Ftc) -> None:
    recipe = project("span_corruption", "full") / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8").replace(
        "kind: span_corruption", "kind: span_corruption, noise_density: 0.5, mean_span_length: 1"
    )
    recipe.write_text(text.replace("max_length: 32", "max_length: 64"), encoding="utf-8")
    refused = ftc("plan", "recipe.yaml")
    assert (refused.code, "[FTC477]" in refused.err) == (3, True), refused.text
    assert "and the tokenizer 20 sentinels" in refused.text
