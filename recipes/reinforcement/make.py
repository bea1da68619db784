"""Makes what `sums.yaml` needs, out of nothing: sums as rows, and a tiny model that has begun to add.

The model is a Llama of two layers that reads characters. It is trained here on a part of the sums, for so few steps
that it is mostly wrong; the recipe goes on with other sums, of which it sees no answer. Takes a minute on one core.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LARGEST, SHOWN, STEPS, BATCH = 49, 500, 200, 128
_SPECIAL = ("<pad>", "<s>", "</s>")
_CHARACTERS = "0123456789+="


def sums() -> list[dict[str, str]]:
    """All sums of two numbers, in an order of their own."""
    numbers = range(LARGEST + 1)
    rows = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in numbers for b in numbers]
    random.Random(7).shuffle(rows)
    return rows


def write_tokenizer(folder: Path) -> Any:
    """A tokenizer that takes characters one by one."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    tokens = {token: number for number, token in enumerate((*_SPECIAL, *_CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=_SPECIAL[0]))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, begin, end = _SPECIAL
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin, "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 32}), encoding="utf-8")
    return tokenizer


def train(tokenizer: Any, rows: list[dict[str, str]]) -> Any:
    """A Llama after a few steps on sums with their answers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    torch.set_num_threads(1)
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vocabulary = tokenizer.get_vocab_size()
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=32, **size, **ids))
    lines = [[*tokenizer.encode(row["prompt"] + row["answer"]).ids, 2] for row in rows]
    starts = [len(tokenizer.encode(row["prompt"]).ids) for row in rows]
    longest = max(map(len, lines))
    padded = torch.tensor([line + [0] * (longest - len(line)) for line in lines])
    places = torch.arange(longest)
    wanted = (places >= torch.tensor(starts)[:, None]) & (places < torch.tensor(list(map(len, lines)))[:, None])
    labels = padded.masked_fill(~wanted, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(STEPS):
        some = torch.randint(len(rows), (BATCH,), generator=torch.Generator().manual_seed(step))
        loss = model(input_ids=padded[some], labels=labels[some]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {STEPS}: loss {loss.item():.3f}", flush=True)
    return model


def main() -> int:
    """Writes the model and the rows beside this file."""
    rows, folder = sums(), HERE / "models" / "adder"
    folder.mkdir(parents=True, exist_ok=True)
    model = train(write_tokenizer(folder), rows[:SHOWN])
    model.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    (HERE / "data").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows[SHOWN:])
    (HERE / "data" / "sums.jsonl").write_text(text, encoding="utf-8")
    print(f"{len(rows) - SHOWN} sums in data/sums.jsonl, the model in models/adder")
    return 0


if __name__ == "__main__":
    sys.exit(main())
