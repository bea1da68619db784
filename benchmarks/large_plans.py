"""Plans runs of several machines with `ftc plan` itself: memory of each GPU, traffic, time and cost, on paper.

Nothing here needs a GPU or the models' weights: their configurations are public, and files of the right size without
content stand for the weights. Their digests are put into ftc's cache, as if they had been read before; everything else
is the command that a user runs. Beside it stand runs that others have published, with the source of each figure. Where
a source tells rates of computing, tokens follow from six operations for each parameter and token.

    python benchmarks/large_plans.py [NAME ...] [--out results/large_plans.jsonl]
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.processes import ONE_THREAD, attempt, machine

FTC = Path(sys.executable).with_name("ftc")
GIB = 2**30
_WORDS = "the a small old red green market team player film bank goal song price match actor share win".split()
_SHARD_BYTES = 40 * 10**9
_OVER_BUDGET = 4

_ROPE = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "factor": 8.0}
_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "rope_scaling": {**_ROPE, "original_max_position_embeddings": 8192},
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
MODELS: dict[str, dict[str, Any]] = {
    "Llama-3.1-8B": {
        **_LLAMA,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "Llama-3.1-70B": {
        **_LLAMA,
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    },
    "Llama-3.1-405B": {
        **_LLAMA,
        "hidden_size": 16384,
        "intermediate_size": 53248,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
    },
    "Qwen3-235B-A22B": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "moe_intermediate_size": 1536,
        "num_hidden_layers": 94,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "output_router_logits": False,
        "router_aux_loss_coef": 0.001,
        "vocab_size": 151936,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "attention_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    },
}
"""The `config.json` of each, as the hub has it; the ids of special tokens are those of the tokenizer here."""

_TITAN = "torchtitan b5bcd76c, benchmarks/llama3_h100_202412_torchtitan.md"
_TITAN_2 = "torchtitan b5bcd76c, benchmarks/asyncTP_llama3_h100_2025-06_torchtitan.md"
_REPORT = "The Llama 3 Herd of Models (arXiv 2407.21783), table 4"
_FULL = "kind: full"
_LORA = "kind: lora, rank: 16"
PLANS: dict[str, dict[str, Any]] = {
    "8B full, 8 GPUs": {
        "model": "Llama-3.1-8B",
        "strategy": _FULL,
        "train": "batch_size: 16, micro_batch: 2, precision: bfloat16, activation_checkpointing: selective, "
        "sharding: fsdp",
        "nodes": 1,
        "beside": [(f"{_TITAN}, table 1, FSDP in bfloat16; H100 of 96 GB and 500 W", 5762, 82.4)],
    },
    "8B full, 128 GPUs": {
        "model": "Llama-3.1-8B",
        "strategy": _FULL,
        "train": "batch_size: 256, micro_batch: 2, precision: bfloat16, activation_checkpointing: selective, "
        "sharding: fsdp",
        "nodes": 16,
        "beside": [(f"{_TITAN}, table 3, FSDP in bfloat16; H100 of 96 GB and 500 W", 5605, 67.0)],
    },
    "70B full, 64 GPUs": {
        "model": "Llama-3.1-70B",
        "strategy": _FULL,
        "train": "batch_size: 64",
        "nodes": 8,
        "beside": [(f"{_TITAN_2}, 70B on 256 H100, FSDP 32 x TP 8 in bfloat16, compiled", 597.3, None)],
    },
    "405B LoRA, 64 GPUs": {
        "model": "Llama-3.1-405B",
        "strategy": _LORA,
        "train": "batch_size: 64",
        "nodes": 8,
        "beside": [
            (f"{_TITAN}, table 5, full training on 512 H100 in float8, TP 8, PP 8", 100, 82.5),
            (
                f"{_REPORT}: pre-training on 8,192 H100 of 700 W in bfloat16, 430 TFLOP/s a GPU",
                177,
                None,
            ),
        ],
    },
    "405B full, 128 GPUs": {
        "model": "Llama-3.1-405B",
        "strategy": _FULL,
        "train": "batch_size: 128, offload: none",
        "nodes": 16,
        "beside": [(f"{_TITAN}, table 5, full training on 512 H100 in float8, TP 8, PP 8", 100, 82.5)],
    },
    "235B-A22B LoRA, 64 GPUs": {
        "model": "Qwen3-235B-A22B",
        "strategy": _LORA,
        "train": "batch_size: 64",
        "nodes": 8,
        "beside": [],
    },
}


def _recipe(plan: Mapping[str, Any]) -> str:
    link = "link: 3200 Gbit/s, " if plan["nodes"] > 1 else ""
    return f"""\
ftc: 1
name: large
task: {{kind: pretraining}}
data: {{source: {{path: rows.jsonl}}, max_length: 8192, split: {{validation: 0.02, test: 0.02}}}}
model: {{base: model}}
strategy: {{{plan["strategy"]}}}
train: {{epochs: 1, {plan["train"]}}}
budget: {{device: h100-80gb, nodes: {plan["nodes"]}, devices: 8, {link}price_per_hour: 2.50 USD}}
"""


def _shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in the files on the hub."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim", width // heads)
    keys = config["num_key_value_heads"] * head
    experts = config.get("num_experts")
    inner = config["moe_intermediate_size"] if experts else config["intermediate_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        for name, outputs in (("q", heads * head), ("k", keys), ("v", keys)):
            yield f"{layer}.self_attn.{name}_proj.weight", (outputs, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, heads * head)
        if experts:
            for name in ("q_norm", "k_norm"):
                yield f"{layer}.self_attn.{name}.weight", (head,)
            yield f"{layer}.mlp.gate.weight", (experts, width)
        for place in [f"{layer}.mlp.experts.{one}" for one in range(experts)] if experts else [f"{layer}.mlp"]:
            yield f"{place}.gate_proj.weight", (inner, width)
            yield f"{place}.up_proj.weight", (inner, width)
            yield f"{place}.down_proj.weight", (width, inner)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{name}.weight", (width,)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (config["vocab_size"], width)


def _write_model(folder: Path, config: Mapping[str, Any]) -> None:
    """A model's folder: its configuration, a tokenizer of words, and files of holes in place of weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    words = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 131072, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for name, shape in _shapes(config):
        length = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        if size + length > _SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += length
    index: dict[str, str] = {}
    for number, tensors in enumerate(shards, 1):
        file = folder / f"model-{number:05}-of-{len(shards):05}.safetensors"
        offset, header = 0, dict[str, Any]()
        for name, shape in tensors.items():
            end = offset + 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
            offset, index[name] = end, file.name
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with file.open("wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            out.truncate(8 + len(text) + offset)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def _seem_read(folder: Path, cache: Path) -> None:
    """Puts digests of the files of holes into ftc's cache: hashing 800 GB of zeros says nothing about a plan."""
    from ftc.compiler.resolve.files.digests import _entry
    from ftc.compiler.resolve.models.weights import read_ranges
    from ftc.spec.storage.atomic_write import stamp_of
    from ftc.spec.storage.cache import Cache
    from ftc.spec.storage.cached import DIGESTS

    kept = Cache(DIGESTS.under(cache))
    for file in sorted(folder.resolve().glob("*.safetensors")):
        stamp, made_up = list(stamp_of(file.stat())), file.name.encode().hex().ljust(64, "0")[:64]
        tensors = {name: [one.facts.dtype, list(one.facts.shape), made_up] for name, one in read_ranges(file).items()}
        kept.keep(*_entry(file, "json"), {"stamp": stamp, "sha256": made_up})
        kept.keep(*_entry(file, "tensors.json"), {"stamp": stamp, "sha256": tensors})


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Plans one run twice, the second time with what the cache then has, and gives what the plan says."""
    wanted = PLANS[name]
    project, cache = folder / "project", folder / "cache"
    (project / ".ftc").mkdir(parents=True)
    drawn = random.Random(3)
    with (project / "rows.jsonl").open("w") as rows:
        for _ in range(1066):  # 1,024 of them are trained on
            rows.write(json.dumps({"text": " ".join(drawn.choices(_WORDS, k=8300))}) + "\n")
    (project / "recipe.yaml").write_text(_recipe(wanted))
    _write_model(project / "model", MODELS[wanted["model"]])
    _seem_read(project / "model", cache)
    time.sleep(2.1)  # until then ftc does not trust a file's time stamps
    env = {**ONE_THREAD, "FTC_CACHE": str(cache)}
    words = [FTC, "plan", project / "recipe.yaml", "-o", project / "job.plan.json", "--force"]
    (first, code, said), (again, _, _) = (attempt(words, env=env) for _ in range(2))
    costs = {"plan_cpu_s": round(first.cpu, 1), "again_cpu_s": round(again.cpu, 1)}
    if code not in (0, _OVER_BUDGET):
        raise RuntimeError(said)
    if code:  # what the command said, and what would fit
        said = said[said.index("error[") :].replace(f"{project}/", "")
        return {"name": name, "model": wanted["model"], "refused": said, **costs}
    found = _said(json.loads((project / "job.plan.json").read_text()))
    beside = [dict(zip(("source", "tokens_per_gpu_s", "memory_gib"), one, strict=True)) for one in wanted["beside"]]
    return {"name": name, "model": wanted["model"], **found, **costs, "beside": beside}


def _said(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a plan."""
    train, memory, spent = plan["settings"]["train"], plan["memory"], plan["time"]
    trained = next(one["seconds"] for one in spent["phases"] if one["phase"] == "train")
    tokens = train["num_steps"] * train["batch_size"] * 8192
    rates = {side: tokens / float(trained[side]) / train["world_size"] for side in ("high", "expected", "low")}
    sides = ("low", "expected", "high")
    return {
        "gpus": train["world_size"],
        "sharding": train["sharding"],
        "tensor_parallel": train.get("tensor_parallel", 1),
        "micro_batch": train["micro_batch"],
        "recomputes": train["activation_checkpointing"],
        "offload": train["offload"],
        "memory_gib": [round(memory["process"][side] / GIB, 1) for side in sides],
        "memory_method": memory["method"],
        "limit_gib": round(memory["limit_bytes"] / GIB, 1),
        "traffic_gib": [round(plan["work"]["traffic"][side] / GIB, 1) for side in ("device_bytes", "machine_bytes")],
        "tokens_per_gpu_s": [round(rate) for rate in rates.values()],
        "training_s": [round(float(trained[side])) for side in sides],
        "run_usd": [round(float(spent[side]["amount"])) for side in ("cost_low", "cost_high")],
    }


def main() -> None:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(PLANS), help=", ".join(PLANS))
    parser.add_argument("--out", type=Path, help="write the figures there, a line for each plan")
    arguments = parser.parse_args()
    print(machine())
    lines = []
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(json.dumps(measure(name, Path(folder))))
        print(lines[-1], flush=True)
    if arguments.out is not None:
        arguments.out.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
