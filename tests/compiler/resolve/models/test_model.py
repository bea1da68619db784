"""Facts of local model folders, and what is said about folders that can't be used."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ftc.compiler.resolve.files import safe_files
from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.hub import Hub
from ftc.compiler.resolve.models import tokenizer
from ftc.compiler.resolve.models.model import resolve_model
from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Diagnostic, Refusal, Span
from ftc.spec.documents.facts import ModelFacts
from tests.support.model_folder import TOKENIZER, safetensors_bytes, write_model

SPAN = Span("recipe.yaml", 3, 10, 3, 20)


def resolve(root: Path, base: str = "./models/tiny") -> ModelFacts:
    return resolve_model(
        base,
        None,
        folder=root,
        root=root,
        hub=Hub(offline=True, cache_dir=root / "hub"),
        digests=DigestCache(root / "digests"),
        span_of=lambda path: SPAN,
    ).facts


def refusals(root: Path, base: str = "./models/tiny") -> tuple[Diagnostic, ...]:
    with pytest.raises(Refusal) as caught:
        resolve(root, base)
    for found in caught.value.diagnostics:
        assert found.span == SPAN
        assert found.path == "model.base"
        assert found.help
    return caught.value.diagnostics


def codes(root: Path, base: str = "./models/tiny") -> list[str]:
    return [found.code for found in refusals(root, base)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "models/tiny")


def test_facts_of_a_decoder(tmp_path: Path, model: Path) -> None:
    facts = resolve(tmp_path)
    assert (facts.name, facts.source, facts.commit, facts.family) == ("models/tiny", "local", None, "decoder")
    assert (facts.hidden_size, facts.num_heads, facts.num_kv_heads, facts.head_dim) == (8, 4, 2, 2)
    assert (facts.max_positions, facts.tied_embeddings, facts.license) == (64, False, "apache-2.0")
    assert facts.num_parameters == 48 + 64 + 32 + 128 + 8 + 48
    assert facts.linear_modules == {
        "model.layers.0.mlp.down_proj": (16, 8),
        "model.layers.0.self_attn.k_proj": (8, 4),
        "model.layers.0.self_attn.q_proj": (8, 8),
    }
    assert facts.files["model.safetensors"].sha256 == file_digest(model / "model.safetensors")
    assert "README.md" not in facts.files
    read = facts.tokenizer
    assert (read.vocab_size, read.bos_id, read.eos_id, read.pad_id) == (6, 3, 4, None)
    assert (read.model_max_length, read.chat_template) == (None, "{{ messages[0].content }}")


def test_a_vocabulary_is_parsed_again_where_it_changed(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, now, parsed = safe_files.read_json_object, time.time_ns, list[str]()

    def noted(file: Path, *rest: Any) -> dict[str, Any]:
        parsed.append(file.name)
        return real(file, *rest)

    monkeypatch.setattr(tokenizer, "read_json_object", noted)
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_600 * 10**9)  # so that fresh files count as settled
    first = resolve(tmp_path)
    assert parsed.count("tokenizer.json") == 1
    assert resolve(tmp_path) == first
    assert parsed.count("tokenizer.json") == 1
    file = model / "tokenizer_config.json"  # asks for another token of the same vocabulary
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token": "<s>"}))
    assert resolve(tmp_path).tokenizer.eos_id == first.tokenizer.bos_id
    larger = {**TOKENIZER, "added_tokens": [*TOKENIZER["added_tokens"], {"id": 5, "content": "<new>"}]}
    (model / "tokenizer.json").write_text(json.dumps(larger))
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token": "<new>"}))
    assert resolve(tmp_path).tokenizer.eos_id == 5


def test_facts_hold_no_absolute_path_and_survive_json(tmp_path: Path, model: Path) -> None:
    facts = resolve(tmp_path, "models/tiny")
    assert str(tmp_path) not in facts.to_text()
    assert ModelFacts.model_validate_json(facts.to_text()) == facts


def test_shards(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").unlink()
    parts = {"a-1.safetensors": {"model.embed_tokens.weight": (6, 8)}, "a-2.safetensors": {"lm_head.weight": (6, 8)}}
    for name, shapes in parts.items():
        (model / name).write_bytes(safetensors_bytes(shapes))
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: file for file, keys in parts.items() for key in keys}}))
    facts = resolve(tmp_path)
    assert set(facts.tensors) == {"model.embed_tokens.weight", "lm_head.weight"}
    assert {*parts, index.name} <= set(facts.files)
    (model / "a-2.safetensors").unlink()
    assert codes(tmp_path) == ["FTC305"]
    index.write_text(json.dumps({"weight_map": {"x": "a-1.safetensors"}}))
    assert codes(tmp_path) == ["FTC305"]
    for name in ("../a.safetensors", "/a.safetensors", "..\\a.safetensors", "a.bin"):
        index.write_text(json.dumps({"weight_map": {"x": name}}))
        assert codes(tmp_path) == ["FTC319"]


def test_a_misspelled_folder_gets_the_nearest(tmp_path: Path, model: Path) -> None:
    for base in ("./models/tinny", "models/tinny"):
        (found,) = refusals(tmp_path, base)
        assert found.code == "FTC301"
        assert "models/tiny`?" in found.help[0]


def test_the_placeholder_of_a_starter_is_no_hub_id(tmp_path: Path) -> None:
    (found,) = refusals(tmp_path, "models/my-model")
    assert (found.code, found.summary) == ("FTC301", "no folder `models/my-model`")
    assert "ftc init" in found.notes[0]


@pytest.mark.parametrize(
    ("base", "code"),
    [
        ("../outside", "FTC300"),
        ("/etc", "FTC300"),
        ("my model!", "FTC321"),
        ("a/b/c", "FTC321"),
        ("models/tiny/config.json", "FTC302"),
        ("models", "FTC302"),
        ("org/name", "FTC318"),
        ("gpt2", "FTC318"),
    ],
)
def test_other_bases(tmp_path: Path, model: Path, base: str, code: str) -> None:
    assert codes(tmp_path, base) == [code]


def _write(name: str, content: bytes | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)

    return change


def _only(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"\x80\x04canary")

    return change


def _slow(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "spiece.model")


def _link_out(folder: Path) -> None:
    outside = folder.parents[2] / f"{folder.parents[1].name}-outside"
    outside.write_bytes(b"{}")
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").symlink_to(outside)


LARGER = {**TOKENIZER, "added_tokens": [{"id": 6, "content": "<new>"}]}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (_write("config.json", None), "FTC302", "config.json"),
        (_write("model.safetensors", None), "FTC302", "weights"),
        (_only("pytorch_model.bin"), "FTC303", "pytorch_model.bin"),
        (_only("model.pt"), "FTC303", "model.pt"),
        (_only("model.gguf"), "FTC303", "model.gguf"),
        (_only("model.ckpt"), "FTC303", "model.ckpt"),
        (_write("model.safetensors", b"\x80\x04canary" + bytes(40)), "FTC304", "not a safetensors"),
        (_write("model.safetensors", safetensors_bytes({"a": (9, 9)})[:-7]), "FTC304", "damaged"),
        (_write("tokenizer.json", None), "FTC306", "no tokenizer"),
        (_slow, "FTC306", "slow"),
        (_write("tokenizer.json", json.dumps(LARGER).encode()), "FTC307", "more ids"),
        (_write("tokenizer.json", b'{"model": {"vocab": {"a": "0"}}}'), "FTC311", "tokenizer.json"),
        (_write("config.json", b'{"a": '), "FTC311", "config.json"),
        (_write("config.json", b"[" * 100_000), "FTC311", "config.json"),
        (_write("config.json", b"[]"), "FTC311", "config.json"),
        (_write("config.json", b'{"a": "\xff"}'), "FTC311", "config.json"),
        (_write("adapter_config.json", b"{}"), "FTC312", "adapter"),
        (_write("tokenizer_config.json", b'{"auto_map": {"AutoTokenizer": ["x.Y", null]}}'), "FTC310", "auto_map"),
        (_write("generation_config.json", b'{"custom_generate": "org/x"}'), "FTC310", "custom_generate"),
        (_write("model.safetensors", safetensors_bytes({"model.embed_tokens.weight": (7, 8)})), "FTC322", "embedding"),
        (_link_out, "FTC300", "outside the project"),
    ],
)
def test_unusable_folders(tmp_path: Path, model: Path, change: Callable[[Path], None], code: str, words: str) -> None:
    change(model)
    (found,) = refusals(tmp_path)
    assert (found.code, words in found.summary) == (code, True), found


def test_both_sizes_are_named_when_the_tokenizer_is_larger(tmp_path: Path, model: Path) -> None:
    (model / "tokenizer.json").write_text(json.dumps(LARGER))
    (found,) = refusals(tmp_path)
    assert "7 rows" in found.notes[0]
    assert "has 6" in found.notes[0]


def test_independent_faults_come_together(tmp_path: Path, model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "model.safetensors").unlink()
    assert sorted(codes(tmp_path)) == ["FTC302", "FTC306"]


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"auto_map": {"AutoModel": "x.Y"}}, "FTC310", "`auto_map`"),
        ({"inner": {"deep": [{"trust_remote_code": True}]}}, "FTC310", "`inner.deep.trust_remote_code`"),
        ({"_attn_implementation_internal": "org/kernel"}, "FTC310", "_attn_implementation_internal"),
        ({"attn_implementation": "org/kernel:fn"}, "FTC310", "attn_implementation"),
        ({"_experts_implementation": "org/kernel"}, "FTC310", "_experts_implementation"),
        ({"model_type": None}, "FTC308", "model_type"),
        ({"model_type": "novel", "architectures": ["NovelModel"]}, "FTC308", "NovelModel"),
        ({"vision_config": {"a": 1}}, "FTC308", "vision_config"),
        ({"architectures": ["MllamaForConditionalGeneration"], "model_type": "mllama"}, "FTC308", "Mllama"),
        ({"architectures": ["LlavaQwenForCausalLM"]}, "FTC308", "reads more than text"),
        ({"architectures": ["Qwen2VLForConditionalGeneration"]}, "FTC308", "reads more than text"),
        ({"architectures": ["WhisperForConditionalGeneration"], "model_type": "t5"}, "FTC308", "more than text"),
        ({"architectures": ["Gemma3nForConditionalGeneration"], "model_type": "gemma3n"}, "FTC308", "is unknown"),
        ({"model_type": "llava", "text_config": {"model_type": ["llama"]}}, "FTC308", "with `['llama']` inside"),
        ({"num_local_experts": 8}, "FTC308", "mixture of experts"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "FTC313", "3"),
        ({"hidden_size": None}, "FTC309", "hidden_size"),
        ({"hidden_size": 0}, "FTC309", "hidden_size"),
        ({"hidden_size": "8"}, "FTC309", "hidden_size"),
        ({"num_attention_heads": True}, "FTC309", "num_attention_heads"),
        ({"num_hidden_layers": 10**12}, "FTC309", "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "FTC309", "not divisible by"),
        ({"num_attention_heads": 3, "num_key_value_heads": 3}, "FTC309", "is not divisible by 3"),
        ({"num_experts": [1, 8]}, "FTC308", "mixture of experts"),
        ({"hidden_size": 32}, "FTC322", "don't match"),
        ({"intermediate_size": 12}, "FTC322", "don't match"),
        ({"num_hidden_layers": 2}, "FTC322", "don't match"),
        ({"head_dim": 64}, "FTC322", "don't match"),
    ],
)
def test_unusable_configurations(tmp_path: Path, changes: dict[str, Any], code: str, words: str) -> None:
    write_model(tmp_path / "models/tiny", **changes)
    (found,) = refusals(tmp_path)
    assert (found.code, words in found.summary) == (code, True), found


def test_everything_that_does_not_fit_the_weights_is_said_at_once(tmp_path: Path) -> None:
    write_model(tmp_path / "models/tiny", intermediate_size=12, num_hidden_layers=2, head_dim=64)
    (found,) = refusals(tmp_path)
    assert [note.split(",")[0] for note in found.notes] == [
        "config.json says 2 layers",
        "config.json says a feed-forward width of 12",
        "config.json says 4 heads with a total width of 256",
    ]


def test_the_quotes_of_a_number_that_is_text_are_shown(tmp_path: Path) -> None:
    write_model(tmp_path / "models/tiny", hidden_size="8")
    assert '`hidden_size` is "8"' in refusals(tmp_path)[0].summary


def test_a_kind_of_model_that_the_installed_transformers_lacks(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    write_model(tmp_path / "models/tiny", model_type="novel", architectures=["NovelForCausalLM"])
    (found,) = refusals(tmp_path)
    assert (found.code, "no model type `novel`" in found.summary) == ("FTC308", True)


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "`bitsandbytes`: packed numbers of 4 or 8 bits"),
        ({"load_in_8bit": True}, "`bitsandbytes`: packed numbers of 4 or 8 bits"),
        ({"quant_method": "novel"}, "the method `novel`"),
        ("yes", "the method `unknown`"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("llama", {}),
        ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2}),
        ("deepseek_v3", {"n_routed_experts": 4, "num_experts_per_tok": 2}),
    ],
)
def test_the_help_for_quantized_files_is_what_works(
    tmp_path: Path, kind: str, sizes: dict[str, Any], said: Any, holds: str
) -> None:
    """Of a dense model qlora, which is refused for a mixture of experts (FTC268)."""
    write_model(tmp_path / "models/tiny", model_type=kind, quantization_config=said, **sizes)
    (found,) = refusals(tmp_path)
    assert found.code == "FTC313"
    assert holds in found.notes[0]
    lines = list(found.help)
    assert ("qlora" in lines[0], "bfloat16" in lines[0]) == (not sizes, bool(sizes))
    assert any("FTC268" in note for note in found.notes) is bool(sizes)


def test_files_that_are_not_what_they_say_are_refused_with_the_reason(tmp_path: Path) -> None:
    write_model(tmp_path / "models/tiny", quantization_config={"quant_method": "fp8"})
    (found,) = refusals(tmp_path)
    assert (found.code, found.notes) == ("FTC313", ("config.json says FP8, but no tensor is stored so",))


@pytest.mark.parametrize(
    "changes",
    [
        {"_attn_implementation_autoset": True, "auto_map": {}, "trust_remote_code": False},
        {"attn_implementation": "sdpa", "architectures": ["LlamaForSequenceClassification"]},
        {"architectures": None},
    ],
)
def test_harmless_keys_pass(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_model(tmp_path / "models/tiny", **changes)
    assert resolve(tmp_path).family == "decoder"


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64}}, 256),
        ({"rope_parameters": {"factor": 2, "original_max_position_embeddings": 16}}, 64),
        (
            {
                "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64},
                "rope_parameters": {"rope_type": "default"},
            },
            256,
        ),
        ({"rope_scaling": {"factor": "9", "original_max_position_embeddings": 64}}, 64),
        ({"max_position_embeddings": None}, None),
        ({"model_type": "roberta", "architectures": ["RobertaForMaskedLM"], "pad_token_id": 1}, 62),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "n_positions": 64}, None),
    ],
)
def test_longest_sequences(tmp_path: Path, changes: dict[str, Any], limit: int | None) -> None:
    write_model(tmp_path / "models/tiny", **changes)
    assert resolve(tmp_path).max_positions == limit


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: MIT\n---\n", "mit"),
        ("---\r\nlicense: 'mit' # yes\r\n---\r\n", "mit"),
        ("---\nlicense:\n- apache-2.0\ntags:\n- a\n---\n", "apache-2.0"),
        ("---\nlicense: [mit]\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: Llama3\n---\n", "llama3"),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", None),
        ("license: mit\n", None),
    ],
)
def test_licenses_of_cards(tmp_path: Path, model: Path, card: str, expected: str | None) -> None:
    (model / "README.md").write_bytes(card.encode())
    assert resolve(tmp_path).license == expected


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE"])
def test_a_license_file_is_known_by_its_words(tmp_path: Path, model: Path, name: str) -> None:
    (model / "README.md").unlink()
    (model / name).write_text("Apache License\n   Version 2.0, January 2004\n")
    assert resolve(tmp_path).license == "apache-2.0"


def test_chat_templates_from_a_file_or_a_list(tmp_path: Path, model: Path) -> None:
    named = [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert resolve(tmp_path).tokenizer.chat_template == "D"
    (model / "chat_template.jinja").write_text("J")
    assert resolve(tmp_path).tokenizer.chat_template == "J"


def test_a_token_that_only_the_class_knows(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "models/tiny", model_type="t5", architectures=["T5ForConditionalGeneration"])
    (folder / "tokenizer_config.json").unlink()
    facts = resolve(tmp_path)
    assert (facts.family, facts.num_decoder_layers) == ("encoder_decoder", 1)
    assert (facts.tokenizer.eos_token, facts.tokenizer.pad_id, facts.tokenizer.bos_token) == ("</s>", 5, None)


def test_a_named_pipe_does_not_hang_the_plan(tmp_path: Path, model: Path) -> None:
    (model / "tokenizer_config.json").unlink()
    os.mkfifo(model / "tokenizer_config.json")
    with pytest.raises(Refusal, match="is a named pipe"):
        resolve(tmp_path)
