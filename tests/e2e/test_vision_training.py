"""Full training and QLoRA of models that read images: the weights of a plain loop, and models that others load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from ftc.spec.diagnostics import Refusal
from ftc.spec.storage.paths import RunFolder
from ftc.spec.vision_models import vision_model
from tests.e2e.conftest import Ftc, MakeProject
from tests.support.cards import CardRunner
from tests.support.vision_loops import inputs_of, logged_losses, plain_losses, plain_run
from tests.support.vision_models import COLORS, MODELS, make_vision_project

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

STEPS = "{epochs: 1, batch_size: 8, learning_rate: 0.003}"


def trained(root: Path, **lines: Any) -> api.Run:
    """A run of three steps."""
    (root / ".ftc").mkdir(parents=True, exist_ok=True)
    recipe = make_vision_project(root, **{"count": 32, "train": STEPS, **lines})
    assert api.apply(recipe).record.status == "finished"
    (run,) = api.runs()
    return run


def loaded(folder: Path, **options: Any) -> Any:
    """A model as transformers loads it."""
    import transformers

    return transformers.AutoModelForImageTextToText.from_pretrained(folder, **options).eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_full_training_has_the_losses_and_the_weights_of_a_plain_loop(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards: CardRunner
) -> None:
    """The tower stays as it was to the bit; projector and language model learn; others load what is written."""
    monkeypatch.chdir(tmp_path)
    run = trained(tmp_path, model_type=kind, strategy="{kind: full}")
    losses, plain = plain_run(run, tmp_path)
    assert logged_losses(run) == pytest.approx(losses, abs=2e-5)
    vision, card = run.plan.settings.model.vision, vision_model(kind)
    assert vision is not None
    assert card is not None
    assert vision.frozen == (card.tower,)
    base, saved = (loaded(folder) for folder in (tmp_path / "models" / kind, run.folder / "model"))
    before, theirs = dict(base.named_parameters()), dict(plain.named_parameters())
    assert {name for name, _ in saved.named_parameters()} == before.keys()
    for name, weight in saved.named_parameters():
        if card.part_of(name) == "vision_tower":
            assert torch.equal(weight, before[name]), f"{name} is frozen"
        else:
            torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-4)
    moved = {card.part_of(name) for name, one in saved.named_parameters() if not torch.equal(one, before[name])}
    assert moved == {"projector", "language_model"}
    inputs = inputs_of(run, tmp_path, [0, 1, 2])
    with torch.inference_mode():
        torch.testing.assert_close(saved(**inputs).logits, plain.eval()(**inputs).logits, rtol=1e-3, atol=1e-3)
    assert api.audit(run.record.id).verdict == "CONSISTENT"
    assert cards.run(run.folder / "README.md").endswith("\n"), "it prints what the model says of an image"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava_next", "qwen2_5_vl"])
@pytest.mark.parametrize(
    ("asked", "frozen"),
    [
        ("[vision_tower, projector, language_model]", set()),
        ("[projector]", {"vision_tower", "language_model"}),
        ("[language_model]", {"vision_tower", "projector"}),
        ("[vision_tower]", {"projector", "language_model"}),
    ],
)
def test_parts_are_trained_by_name(
    kind: str, asked: str, frozen: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the projector lies in the tower, and with activation checkpointing."""
    monkeypatch.chdir(tmp_path)
    train = STEPS.replace("}", ", activation_checkpointing: true}")
    run = trained(tmp_path, model_type=kind, strategy=f"{{kind: full, train_parts: {asked}}}", train=train)
    card = vision_model(kind)
    assert card is not None
    base, saved = (loaded(folder) for folder in (tmp_path / "models" / kind, run.folder / "model"))
    before = dict(base.named_parameters())
    moved = {card.part_of(name) for name, one in saved.named_parameters() if not torch.equal(one, before[name])}
    assert moved == {"vision_tower", "projector", "language_model"} - frozen
    settings = run.plan.settings
    assert settings.model.vision is not None
    assert set(settings.model.vision.frozen) == {card.module_of(one) for one in frozen - {"language_model"}}  # type: ignore[arg-type]
    planned = sum(one.numel() for name, one in saved.named_parameters() if card.part_of(name) not in frozen)
    assert run.plan.model.num_trainable == planned


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_rows_without_images_have_no_part_in_a_projector_that_is_trained_alone(
    checkpointing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their steps have no gradient, and the run goes on."""
    monkeypatch.chdir(tmp_path)
    train = f"{{epochs: 1, batch_size: 1, learning_rate: 0.003, activation_checkpointing: {checkpointing}}}"
    words = ("red", "green", "blue", "white", "black", "brown", "pink", "gray")
    parts = "{kind: full, train_parts: [projector]}"
    run = trained(tmp_path, strategy=parts, count=12, train=train, alone=words)
    lines = RunFolder(run.folder.absolute()).step_log.read_text(encoding="utf-8").splitlines()
    norms = [float.fromhex(one["grad_norm"]) for one in map(json.loads, lines) if one["kind"] == "step"]
    assert 0 in norms
    assert any(norms)


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["auto", "[vision_tower, projector, language_model]"])
def test_a_run_that_stopped_goes_on_to_the_same_bits(
    parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc
) -> None:
    """Also of a tower whose last layer no feature is taken from, so that it has no gradients and no state."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".ftc").mkdir()
    make_vision_project(tmp_path, strategy=f"{{kind: full, train_parts: {parts}}}", count=32, train=STEPS)
    assert ftc("plan", "recipe.yaml", "-o", "plan.json").code == 0

    def steps() -> list[Any]:
        (run,) = api.runs()
        lines = RunFolder(run.folder.absolute()).step_log.read_text(encoding="utf-8").splitlines()
        return [one for one in map(json.loads, lines) if one["kind"] == "step"]

    assert ftc("apply", "plan.json", "--until", "2").code == 0
    stopped = ftc("apply", "plan.json")
    assert stopped.code == 0, stopped.text
    found = steps()
    (tmp_path / "runs").rename(tmp_path / "before")
    assert ftc("apply", "plan.json", "--again").code == 0
    assert steps() == found
    (run,) = api.runs()
    replayed = ftc("audit", run.record.id, "--level", "full", "--json")
    assert json.loads(replayed.out)["verdict"] == "REPRODUCED_BITWISE", replayed.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_qlora_packs_the_language_model_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc, cards: CardRunner
) -> None:
    """Losses are those of a plain loop beside the same packed weights; the adapter merges into the whole ones."""
    pytest.importorskip("bitsandbytes")
    monkeypatch.chdir(tmp_path)
    run = trained(tmp_path, model_type=kind, strategy="{kind: qlora, dropout: 0}")
    losses, plain = plain_run(run, tmp_path)
    assert logged_losses(run) == pytest.approx(losses, abs=2e-5)
    packed = {name for name, one in plain.named_modules() if type(one).__name__ == "Linear4bit"}
    card = vision_model(kind)
    assert card is not None
    assert packed
    assert {card.part_of(name) for name in packed} == {"language_model"}
    assert ftc("merge", run.record.id, "-o", "merged").code == 0
    inputs = inputs_of(run, tmp_path, [0, 1, 2])
    with torch.inference_mode():
        assert loaded(tmp_path / "merged")(**inputs).logits.isfinite().all()
    assert api.audit(run.record.id).verdict == "CONSISTENT"
    assert cards.run(run.folder / "README.md").endswith("\n"), "it prints what the model says of an image"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ({"budget": "{device: cpu, devices: 2}", "strategy": "{kind: full, train_parts: [vision_tower]}"}, "shared by"),
        ({"budget": "{device: cpu, devices: 2}", "strategy": "{kind: full}"}, "some rows have no image"),
        ({"strategy": "{kind: partial, layers: 1}"}, "isn't available"),
        ({"train": "{quantize_aware: {weights: int8}}", "strategy": "{kind: full}"}, "quantize_aware"),
    ],
)
def test_what_is_not_exact_is_refused_by_name(lines: dict[str, str], found: str, tmp_path: Path) -> None:
    """FTC127."""
    recipe = make_vision_project(tmp_path, count=16, alone=("red", "green", "blue"), **lines)
    with pytest.raises(Refusal) as refused:
        api.plan(recipe, trace=False)
    (one,) = [one for one in refused.value.diagnostics if one.code == "FTC127"]
    assert found in one.summary


def test_parts_of_a_model_of_text_are_a_warning(project: MakeProject) -> None:
    """FTC230."""
    root = project("generation", "full, train_parts: [projector]", steps=1)
    found = api.plan(root / "recipe.yaml", trace=False).diagnostics
    assert [one.code for one in found if "train_parts" in one.summary] == ["FTC230"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "smolvlm"])
def test_rows_with_images_that_share_a_sequence_have_the_losses_of_rows_by_themselves(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where some rows have none, so that images don't come one for each row."""
    from ftc.runtime.tasks.scorer import packed_batch

    packs: list[int] = []

    def counted(rows: Any, numbers: list[int]) -> Any:
        packs.append(len(numbers))
        return packed_batch(rows, numbers)

    monkeypatch.setattr("ftc.runtime.training.loop.packed_batch", counted)
    monkeypatch.chdir(tmp_path)
    train = "{epochs: 1, batch_size: 8, learning_rate: 0.01, packing: true, micro_batch_tokens: 128}"
    run = trained(tmp_path, model_type=kind, count=24, train=train, alone=COLORS)
    assert max(packs, default=0) > 1, "rows share a sequence"
    assert logged_losses(run) == pytest.approx(plain_losses(run, tmp_path), abs=2e-5)
    assert api.audit(run.record.id).verdict == "CONSISTENT"


@pytest.mark.slow
def test_a_chat_with_images_has_the_losses_of_a_plain_loop_and_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ftc: Ftc
) -> None:
    monkeypatch.chdir(tmp_path)
    run = trained(tmp_path, task="chat")
    assert run.plan.settings.model.vision is not None
    assert logged_losses(run) == pytest.approx(plain_losses(run, tmp_path), abs=2e-5)
    row = json.loads((tmp_path / "data/rows.jsonl").read_text().partition("\n")[0])
    (tmp_path / "data/asked.jsonl").write_text(json.dumps({"messages": row["messages"][:1]}) + "\n")
    answer = ftc("predict", run.record.id, "--data", "data/asked.jsonl")
    assert answer.code == 0, answer.err
    (found,) = [json.loads(line) for line in answer.out.splitlines()]
    assert found.get("problem") is None
    assert isinstance(found["prediction"], str)
    assert api.audit(run.record.id).verdict == "CONSISTENT"
