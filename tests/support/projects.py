"""Whole projects for end-to-end tests: a recipe, real data files, and tiny real models with a trained tokenizer."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.tiny_architectures import tiny_model

__all__ = ["KINDS", "PROJECTS", "contents", "make_model", "make_project", "metadata", "recipe_of", "write_rows"]

_WORDS = "the a small old red green market team player film bank goal song price match actor share win".split()
_TOPICS = {
    "money": "the bank raised the price of a share".split(),
    "sport": "the player scored a goal and won the match".split(),
    "film": "the actor sang a song in an old film".split(),
}
_TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}: {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
PROJECTS = {
    "classification": ("rows.csv", "{text: text, label: label}", "encoder"),
    "regression": ("rows.jsonl", "{}", "encoder"),
    "several_numbers": ("rows.jsonl", "{}", "encoder"),
    "multi_label": ("rows.jsonl", "{text: text, label: topics}", "encoder"),
    "choice": ("rows.jsonl", "{}", "decoder"),
    "token_classification": ("rows.conll", "{}", "encoder"),
    "spans": ("rows.jsonl", "{}", "encoder"),
    "extraction": ("rows.jsonl", "{}", "encoder"),
    "question_answering": ("rows.jsonl", "{}", "decoder"),
    "summarization": ("rows.jsonl", "{document: text}", "encoder_decoder"),
    "translation": ("rows.jsonl", "{}", "encoder_decoder"),
    "generation": ("rows.jsonl", "{prompt: question, completion: answer}", "decoder"),
    "chat": ("rows.jsonl", "{messages: messages}", "decoder"),
    "preference": ("rows.jsonl", "{}", "decoder"),
    "reward": ("rows.jsonl", "{}", "decoder"),
    "rated": ("rows.jsonl", "{}", "decoder"),
    "rated_reward": ("rows.jsonl", "{}", "decoder"),
    "scored_reward": ("rows.jsonl", "{}", "decoder"),
    "steps": ("rows.jsonl", "{}", "decoder"),
    "embedding": ("rows.jsonl", "{}", "encoder"),
    "reranking": ("rows.jsonl", "{}", "encoder"),
    "scored_pairs": ("rows.jsonl", "{}", "encoder"),
    "reinforcement": ("rows.jsonl", "{prompt: question, reference: answer}", "decoder"),
    "pretraining": ("rows.jsonl", "{}", "decoder"),
    "masked_language_modeling": ("rows.jsonl", "{}", "masked_encoder"),
    "span_corruption": ("rows.jsonl", "{}", "span_encoder_decoder"),
}
"""Data file, fields and kind of model by task, and by further ways to put one."""
_LENGTHS = {"question_answering": 64}
KINDS = {
    "several_numbers": "regression, scores: [length, score], normalize: none, loss: huber",
    "multi_label": "classification, multi_label: true",
    "choice": "classification, mode: generative, prompt: '{{ text }}'",
    "spans": "token_classification",
    "scored_pairs": "embedding, loss: cosent, pooling: cls, matryoshka: [8]",
    "extraction": "question_answering, stride: 8",
    "reinforcement": (
        "reinforcement, group_size: 4, max_new_tokens: 6, "
        "rewards: [{kind: exact_match}, {kind: regex, pattern: '[aeiou]', weight: 0.5}]"
    ),
    "rated": "preference, loss: kto",
    "rated_reward": "reward, loss: binary_cross_entropy",
    "scored_reward": "reward, loss: mse",
    "steps": "reward, loss: step_cross_entropy",
    "question_answering": "question_answering, prompt: '{{ question }} {{ context }}'",
}


def _sentences(count: int) -> list[tuple[str, str]]:
    """Distinct sentences with their topic, the same on every machine."""
    chance = random.Random(5)
    made = []
    for number in range(count):
        topic = list(_TOPICS)[number % len(_TOPICS)]
        words = [*chance.choices(_TOPICS[topic], k=5), *chance.choices(_WORDS, k=3), f"n{number}"]
        made.append((" ".join(words), topic))
    return made


def write_rows(file: Path, task: str, count: int = 48) -> Path:
    """Writes a data file for a task."""
    rows = _sentences(count)
    if task == "classification":
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([("text", "label"), *rows])
        return file
    if task == "token_classification":
        text = "\n\n".join("\n".join(map("\t".join, _tagged(words, topic))) for words, topic in rows)
    else:
        text = "".join(json.dumps(_row(task, words, topic)) + "\n" for words, topic in rows)
    file.write_text(text, encoding="utf-8", newline="\n")
    return file


def _judged(task: str, text: str, topic: str) -> dict[str, Any]:
    """A better and a worse answer, or one of them with its rating, or steps with theirs."""
    if task in ("preference", "reward"):
        return {"prompt": text, "chosen": topic, "rejected": f"no {topic}"}
    is_good = len(text) % 3 > 0
    if task == "steps":
        ratings = [True, is_good][: 1 + len(text) % 2]
        return {"prompt": text, "completions": [f"a {topic}", f"the {topic}"][: len(ratings)], "labels": ratings}
    if task == "scored_reward":
        return {"prompt": text, "completion": topic, "score": len(text) % 5}
    return {"prompt": text, "completion": topic if is_good else f"no {topic}", "label": is_good}


def _row(task: str, text: str, topic: str) -> dict[str, Any]:
    match task:
        case "generation" | "reinforcement":
            return {"question": text, "answer": topic}
        case "chat":
            return {"messages": [_turn("user", text), _turn("assistant", topic)]}
        case "choice" | "multi_label":
            labels = {"text": text, "label": topic, "topics": [topic, *(["red"] if "red" in text else [])]}
            return {name: labels[name] for name in ("text", "label" if task == "choice" else "topics")}
        case "regression" | "several_numbers":
            score = round(1 + 3.7 * list(_TOPICS).index(topic) + text.count("red"), 1)
            return {"text": text, "score": score, "length": len(text)}
        case "spans":
            return {"text": text, "spans": [{"start": 0, "end": text.index(" "), "label": topic}]}
        case "extraction" | "question_answering":
            answer = text.split()[5]
            answers = {"text": [answer], "answer_start": [text.index(answer)]}
            return {"question": f"which {topic}", "context": text, "answers": answers}
        case "translation" | "summarization":
            names = ("source", "target") if task == "translation" else ("text", "summary")
            return dict(zip(names, (text, topic), strict=True))
        case "preference" | "reward" | "rated" | "rated_reward" | "scored_reward" | "steps":
            return _judged(task, text, topic)
        case "embedding" | "scored_pairs" | "reranking":
            return _group(task, text, topic)
        case _:
            return {"text": text}


def _group(task: str, text: str, topic: str) -> dict[str, Any]:
    if task == "scored_pairs":
        return {"sentence1": text, "sentence2": f"about {topic}", "score": round(text.count("the") / 5, 2)}
    number = text.rsplit(maxsplit=1)[-1]
    wrong = f"no {topic} {number}"
    negatives = [wrong, f"a film {number}", "the old bank"] if task == "reranking" else wrong
    return {"query": text, "positive": f"{topic} {number}", "negative": negatives}


def _tagged(text: str, topic: str) -> list[tuple[str, str]]:
    """Words of a sentence, of which the first two are an entity of its topic."""
    first, second, *others = text.split()
    return [(first, f"B-{topic}"), (second, f"I-{topic}"), *((word, "O") for word in others)]


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def recipe_of(
    task: str,
    strategy: str = "lora",
    *,
    steps: int = 4,
    more: str = "",
    model: str = "",
    evaluation: str = "samples: 2",
) -> str:
    """A recipe's text; `more` is added as further lines. `model` is another kind of model than the task's usual one.

    `strategy` is a kind, or a kind and what else stands in the section: `lora, dora: true`.
    """
    file, fields, usual = PROJECTS[task]
    model = model or usual
    adapter = ", rank: 4, dropout: 0.1" if strategy.startswith(("lora", "qlora")) else ""
    every = max(1, steps // 2)
    return (
        f"ftc: 1\nname: tiny\ntask: {{kind: {KINDS.get(task, task)}}}\n"
        f"data:\n  source: {{path: {file}}}\n  fields: {fields}\n  max_length: {_LENGTHS.get(task, 32)}\n"
        f"model: {{base: ./{model}}}\n"
        f"strategy: {{kind: {strategy}{adapter}}}\n"
        f"train: {{epochs: 100, max_steps: {steps}, batch_size: 8, learning_rate: 1e-3, evaluate_every: {every}}}\n"
        f"eval: {{{evaluation}}}\nbudget: {{device: cpu, threads: 1}}\n{more}"
    )


def make_project(root: Path, models: Path, task: str, strategy: str = "lora", **recipe: Any) -> Path:
    """A project with one recipe, `recipe.yaml`; `models` is a folder that `make_model` filled. Returns its root."""
    file, _, usual = PROJECTS[task]
    model = recipe.get("model") or usual
    (root / ".ftc").mkdir(parents=True)
    write_rows(root / file, task)
    shutil.copytree(models / model, root / model)
    (root / "recipe.yaml").write_text(recipe_of(task, strategy, **recipe), encoding="utf-8", newline="\n")
    return root


def make_model(folder: Path, kind: str, length: int = 64) -> Path:
    """Writes a model of two layers and 32 dimensions, for at most `length` tokens.

    `encoder` is a BERT, `masked_encoder` one with its layers over words, `decoder` a Llama with a chat template,
    `encoder_decoder` a T5, `span_encoder_decoder` one with sentinels, and `bart` a BART; other words are model types of
    transformers.
    """
    import torch
    import transformers

    folder.mkdir(parents=True)
    size = _write_tokenizer(folder, kind, length=length)
    shape: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": length,
        "pad_token_id": 0,
    }
    torch.manual_seed(3)
    if kind == "encoder":
        model: Any = transformers.BertModel(transformers.BertConfig(**shape))
    elif kind == "masked_encoder":
        model = transformers.BertForMaskedLM(transformers.BertConfig(**shape))
    elif kind in ("encoder_decoder", "span_encoder_decoder"):
        heads: dict[str, Any] = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
        ids: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=size, **heads, **ids))
    elif kind == "bart":
        model = transformers.BartForConditionalGeneration(_bart_config(size))
    elif kind != "decoder":
        model = tiny_model(kind, vocab_size=size)
    else:
        ends: dict[str, Any] = {
            "bos_token_id": 1,
            "eos_token_id": 2,
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
        }
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, **ends))
    model.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    return folder


def _bart_config(size: int) -> Any:
    import transformers

    sizes = {"layers": 2, "attention_heads": 2, "ffn_dim": 48}
    layers: dict[str, Any] = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in sizes.items()}
    ids: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    return transformers.BartConfig(vocab_size=size, d_model=32, max_position_embeddings=64, **layers, **ids)


def _write_tokenizer(folder: Path, kind: str, *, length: int) -> int:
    """Trains a byte-level BPE tokenizer on the rows and writes its files; returns its size.

    A decoder's has a chat template; that of an encoder for masked words has masks, and ends for texts.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    sentinels = [f"<extra_id_{number}>" for number in range(20)] if kind == "span_encoder_decoder" else []
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=[*_SPECIAL, *sentinels], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text for text, _ in _sentences(48)], trainer)
    if kind == "masked_encoder":
        ends = [(token, tokenizer.token_to_id(token)) for token in _SPECIAL[1:3]]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    pad, begin, end, unknown = _SPECIAL
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "bos_token": begin, "eos_token": end}
    more = {"chat_template": _TEMPLATE} if kind == "decoder" else {}
    if kind == "masked_encoder":  # each byte is in the vocabulary, so that nothing is unknown
        more = {"mask_token": unknown}
    text = json.dumps({**settings, "unk_token": unknown, "model_max_length": length, **more})
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return int(tokenizer.get_vocab_size())


def contents(root: Path) -> dict[str, str]:
    """sha256 of every file under a folder, by relative path."""
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(root)}


def metadata(root: Path) -> dict[str, tuple[int, int]]:
    """Time of change and inode of every file and folder; even the same bytes, written again, show."""
    states = {path: path.stat() for path in (root, *root.rglob("*"))}
    return {str(path.relative_to(root)): (state.st_mtime_ns, state.st_ino) for path, state in states.items()}


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file())
