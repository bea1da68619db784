"""A run that tests of its answers' code reward is reproduced to the bit, and a forged reward or answer is found."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc import api
from tests.e2e.conftest import Ftc, in_a_copy
from tests.e2e.test_reward_model import run_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter is Linux's"),
]
_SPECIAL, _CHARACTERS = ("<pad>", "<s>", "</s>"), "0123456789:f="
_RECIPE = """\
ftc: 1
name: coder
task:
  kind: reinforcement
  group_size: 4
  max_new_tokens: 5
  rewards: [{kind: unit_tests, cpu_seconds: 2, memory: 256 MiB}]
data:
  source: {path: rows.jsonl}
  fields: {prompt: prompt, reference: tests}
model: {base: ./coder}
strategy: {kind: full}
train: {epochs: 100, max_steps: 4, batch_size: 16, learning_rate: 1e-3, evaluate_every: 2}
budget: {device: cpu, threads: 1}
"""


def _write_model(folder: Path) -> None:
    """A model of characters that writes an assignment of some digit, right once in a while."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = {token: number for number, token in enumerate((*_SPECIAL, *_CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=_SPECIAL[0]))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    torch.manual_seed(5)
    ids: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 16}
    size: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokens), **size, **ids))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        first, second, said = torch.randint(3, 13, (3, 64))
        fixed = [torch.full((64,), tokens[one]) for one in (":", "f", "=", "</s>")]
        lines = torch.stack([torch.ones(64, dtype=torch.long), first, second, *fixed[:3], said, fixed[3]], dim=1)
        model(input_ids=lines, labels=lines).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, begin, end = _SPECIAL
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 16}), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run that learned from tests of its code."""
    root = tmp_path_factory.mktemp("tested") / "project"
    (root / ".ftc").mkdir(parents=True)
    _write_model(root / "coder")
    rows = [
        {"prompt": f"{one}{other}:", "tests": [f"assert f == {one}", f"assert f <= {other}", "assert f >= 2"]}
        for one in range(10)
        for other in range(5, 10)
    ]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (root / "recipe.yaml").write_text(_RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTC_CACHE", str(root.parent / "cache"))
        assert api.apply(root / "recipe.yaml").record.status == "finished"
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return in_a_copy(finished, tmp_path, monkeypatch)


def _lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_of(root, "coder") / "answers.ndjson").read_text().splitlines()]


def _forge(root: Path, lines: list[dict[str, Any]]) -> None:
    (run_of(root, "coder") / "answers.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _share(root: Path, line: dict[str, Any], digit: int) -> float:
    """What an answer of this digit earns."""
    prompt = json.loads((root / "rows.jsonl").read_text().splitlines()[int(line["place"].rsplit(":", 1)[1]) - 1])[
        "prompt"
    ]
    return sum((digit == int(prompt[0]), digit <= int(prompt[1]), digit >= 2)) / 3


def _said(line: dict[str, Any]) -> str:
    return "".join(_CHARACTERS[one - 3] for one in line["ids"] if one >= 3)


def test_it_is_reproduced_and_its_code_is_run_again(root: Path, ftc: Ftc) -> None:
    lines = _lines(root)
    assert len({line["reward"] for line in lines}) > 2, "some answers pass all tests, some a part of them"
    plain = [line for line in lines if re.fullmatch("f=[0-9]", _said(line))]
    assert len(plain) > len(lines) / 2
    for line in plain:
        assert float(line["reward"]) == pytest.approx(_share(root, line, int(_said(line)[2])))
    replayed = ftc("audit", run_of(root, "coder").name, "--level", "full")
    assert replayed.code == 0, replayed.text
    assert "REPRODUCED_BITWISE" in replayed.text
    assert f"rewards and advantages of {len(lines)} sampled answers computed again" in replayed.text


def test_a_forged_reward_is_found(root: Path, ftc: Ftc) -> None:
    lines = _lines(root)
    low, high = sorted(range(4), key=lambda number: float(lines[number]["reward"]))[::3]
    for name in ("rewards", "reward", "advantage"):  # exchanged, so that the step's means stay as they are
        lines[low][name], lines[high][name] = lines[high][name], lines[low][name]
    _forge(root, lines)
    audited = ftc("audit", run_of(root, "coder").name)
    assert audited.code != 0
    assert f"answers.ndjson, line {min(low, high) + 1}: rewards" in audited.text


@pytest.mark.parametrize("earns", ["another", "the same"])
def test_a_forged_answer_is_found(root: Path, ftc: Ftc, earns: str) -> None:
    lines = _lines(root)
    number, place, digit = next(
        (number, line["ids"].index(3 + own), digit)
        for number, line in enumerate(lines)
        if re.fullmatch("f=[0-9]", _said(line))
        for own in (int(_said(line)[2]),)
        for digit in range(10)
        if digit != own and (_share(root, line, digit) == _share(root, line, own)) is (earns == "the same")
    )
    lines[number]["ids"][place] = 3 + digit
    _forge(root, lines)
    audited = ftc("audit", run_of(root, "coder").name)
    assert audited.code != 0
    where = f"line {number + 1}: rewards" if earns == "another" else f"step {lines[number]['step']}: tokens"
    assert f"answers.ndjson, {where}" in audited.text
