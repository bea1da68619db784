"""A teacher with another tokenizer (ULD) from rows to audit, and where its tokens are aligned with the model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.documents.streams import TAUGHT, open_stream
from ftc.spec.storage.paths import streams_folder
from tests.e2e.conftest import Ftc, MakeProject
from tests.e2e.use import predicts_as_evaluated
from tests.support.lessons import taught

ULD = "loss: uld, weight: 0.6"


def other_teacher(root: Path, lesson: str = ULD, *, lowercase: bool = False) -> Path:
    """A project whose teacher cuts texts into other tokens, in another chat template."""
    from tokenizers import Tokenizer, models, normalizers, trainers

    taught(root, "decoder", lesson)
    file = root / "teacher" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.model = models.BPE()
    if lowercase:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("e", "u")])
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=tokenizer.pre_tokenizer.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the answer is that it was two of them in there"] * 3, trainer)
    tokenizer.save(str(file))
    config = root / "teacher" / "tokenizer_config.json"
    said = json.loads(config.read_text())
    template = (
        "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
    )
    config.write_text(json.dumps({**said, "chat_template": template}))
    return root


def plan_of(root: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((root / "plan.json").read_text())
    return plan


def begins(file: Path, text: str) -> list[int]:
    """At which character each token of a text begins, as the library's own offsets have it."""
    from tokenizers import Tokenizer

    return [begin for begin, _ in Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).offsets]


def test_tokens_are_aligned_by_the_text_of_the_answers(project: MakeProject, ftc: Ftc) -> None:
    root = other_teacher(project("chat", steps=4))
    planned = ftc("plan", "recipe.yaml", "-o", "plan.json")
    assert planned.code == 0, planned.text
    assert "60 % of the loss" in planned.text
    assert "ULD at temperature 1" in planned.text
    folder = streams_folder(plan_of(root)["stream_key"])
    rows, theirs = open_stream(folder / "train.arrow"), open_stream(folder / f"{TAUGHT}.arrow")
    lesson = plan_of(root)["settings"]["train"]["distillation"]
    assert lesson["stream_sha256"] == theirs.digest()
    assert rows.rows.tolist() == theirs.rows.tolist()
    from ftc.spec.documents.decoded import TextDecoder

    own, other, aligned = TextDecoder(root / "decoder"), TextDecoder(root / "teacher"), 0
    for number in range(len(rows)):
        pairs, targets = theirs.targets[number].tolist(), int(rows.mask(number)[1:].sum())
        assert len(pairs) == targets
        if set(pairs) == {-1}:  # too long for the teacher, which has 64 places
            assert len(theirs.ids(number)) == 2
            continue
        answer = own.expected(rows, number)
        assert other.expected(theirs, number) == answer
        aligned += 1
        # In front of an answer there may be a space in its first token; behind it is what ends it.
        starts, others = (
            [*begins(root / name / "tokenizer.json", answer), len(answer)] for name in ("decoder", "teacher")
        )
        if targets == len(starts) and int(theirs.mask(number).sum()) == len(others):
            spaced = begins(root / "decoder" / "tokenizer.json", f" {answer}")
            starts = starts if len(spaced) != len(starts) - 1 else [*(max(0, at - 1) for at in spaced), len(answer)]
            assert pairs[0] == 0
            assert pairs[-1] == len(others) - 1
            assert {*pairs} - {-1} <= {*range(len(others))}
            assert [others[one] for one in pairs if one >= 0] == sorted({*starts} & {*others})
    assert aligned > len(rows) // 2
    assert f"{len(rows) - aligned} of {len(rows)} training rows can't be aligned" in planned.text


@pytest.mark.slow
def test_a_run_learns_from_a_teacher_with_another_tokenizer(project: MakeProject, ftc: Ftc) -> None:
    root = other_teacher(project("chat", steps=4))
    assert ftc("plan", "recipe.yaml", "-o", "plan.json").code == 0
    assert ftc("apply", "plan.json", "--until", "2").code == 0
    assert ftc("apply", "plan.json").code == 0
    (record,) = (root / "runs").glob("*/*/record.json")
    weights = json.loads(record.read_text())["final_weights_sha256"]
    (root / "runs").rename(root / "before")
    assert ftc("apply", "plan.json", "--again").code == 0
    (record,) = (root / "runs").glob("*/*/record.json")
    assert json.loads(record.read_text())["final_weights_sha256"] == weights, "a resumed run gives the same bits"
    run = record.parent
    predicts_as_evaluated(api.find_run(run.name), "chat", ftc, root)
    audited = ftc("audit", run.name, "--level", "full", "--json")
    assert json.loads(audited.out)["verdict"] == "REPRODUCED_BITWISE", audited.text


def test_without_such_a_loss_it_is_refused_with_the_key(project: MakeProject, ftc: Ftc) -> None:
    other_teacher(project("chat"), "loss: jsd")
    refused = ftc("plan", "recipe.yaml", "--offline")
    assert refused.code == 3
    assert "FTC281" in refused.text
    assert "`loss: uld`" in refused.text


@pytest.mark.parametrize(
    ("task", "lesson", "code"),
    [
        ("pretraining", ULD, "FTC280"),
        ("chat", "loss: uld, seq_kd: {}", "FTC446"),
        ("chat", "loss: uld, on_policy: {}", "FTC446"),
    ],
)
def test_what_has_nothing_to_align_by_is_refused(
    project: MakeProject, ftc: Ftc, task: str, lesson: str, code: str
) -> None:
    other_teacher(project(task), lesson)
    refused = ftc("plan", "recipe.yaml", "--offline")
    assert refused.code == 3, refused.text
    assert code in refused.text


def test_answers_that_a_tokenizer_rewrites_are_named(project: MakeProject, ftc: Ftc) -> None:
    other_teacher(project("chat"), lowercase=True)
    told = ftc("plan", "recipe.yaml", "--offline")
    assert "FTC348" in told.text
    assert "can't be aligned with the teacher's tokens" in told.text
    assert "such as rows.jsonl:" in told.text, "the first of them have a place"
