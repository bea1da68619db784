"""Tiny real models of several architectures with a real tokenizer, made in milliseconds and without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.tiny_architectures import tiny_model

__all__ = ["VOCAB_SIZE", "write_anew", "write_tiny_model"]

VOCAB_SIZE = 128
_WORDS = "red green blue one two three four cat dog bird sees likes is and not the a big small old".split()


def write_tiny_model(folder: Path, kind: str, seed: int = 5) -> str:
    """Writes a model folder and returns its architecture; `kind` is llama, qwen2, gemma2, gpt2, bert, t5 or bart,
    or another model type of transformers.
    """
    import torch
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    shape: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
    }
    decoder = {**shape, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True}
    torch.manual_seed(seed)
    match kind:
        case "llama":
            model: Any = t.LlamaForCausalLM(t.LlamaConfig(**decoder))
        case "qwen2":
            model = t.Qwen2ForCausalLM(t.Qwen2Config(**decoder))
        case "gemma2":
            gemma2 = t.Gemma2Config(**decoder, head_dim=16, final_logit_softcapping=3.0, query_pre_attn_scalar=16)
            model = t.Gemma2ForCausalLM(gemma2)
        case "gpt2":
            gpt2 = t.GPT2Config(
                vocab_size=VOCAB_SIZE, n_embd=64, n_layer=2, n_head=4, n_positions=128, pad_token_id=0,
                bos_token_id=1, eos_token_id=2,
            )  # fmt: skip
            model = t.GPT2LMHeadModel(gpt2)
        case "bert":
            model = t.BertModel(t.BertConfig(**shape))
        case "t5":
            heads: dict[str, Any] = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
            starts: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
            model = t.T5ForConditionalGeneration(t.T5Config(vocab_size=VOCAB_SIZE, **heads, **starts))
        case "bart":
            sizes: dict[str, Any] = {"encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48}
            sizes |= {"decoder_ffn_dim": 48, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
            ids: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
            bart = t.BartConfig(vocab_size=VOCAB_SIZE, d_model=32, decoder_start_token_id=2, **sizes, **ids)
            model = t.BartForConditionalGeneration(bart)
        case _:
            model = tiny_model(kind, vocab_size=VOCAB_SIZE, tie_word_embeddings=False)
    model.save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *_WORDS])}
    vocabulary |= {f"w{number}": number for number in range(len(vocabulary), VOCAB_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<pad>", "<s>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return type(model).__name__


def write_anew(folder: Path, shape: Mapping[str, int]) -> None:
    """Writes a decoder of other sizes in place of another."""
    from transformers import AutoConfig, AutoModelForCausalLM, set_seed

    set_seed(5)
    config = AutoConfig.from_pretrained(folder)
    config.update(dict(shape))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
