"""Python that loads a run's result, for its model card."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from ftc.spec.plan import Plan
from ftc.spec.settings import FullSettings, QLoraSettings

__all__ = ["loading_code"]


def loading_code(plan: Plan) -> str:
    """Lines that load tokenizer and model and try them, with the base model's hub id or the name of its folder."""
    is_class = plan.settings.model.head == "classification"
    loader = "AutoModelForSequenceClassification" if is_class else "AutoModelForCausalLM"
    load = _whole(loader) if isinstance(plan.settings.strategy, FullSettings) else _adapted(plan, loader)
    return "\n".join((*load, "", *(_classify(plan) if is_class else _generate(plan))))


def _whole(loader: str) -> list[str]:
    return [
        f"from transformers import {loader}, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("model")',
        f'model = {loader}.from_pretrained("model").eval()',
    ]


def _adapted(plan: Plan, loader: str) -> list[str]:
    settings = plan.settings
    commit = settings.model.commit
    revision = f", revision={_literal(commit)}" if commit else ""
    labels = f", num_labels={len(settings.text.labels)}" if settings.model.head == "classification" else ""
    base = settings.model.base if commit else PurePosixPath(settings.model.base.replace("\\", "/")).name
    where = "" if commit else "  # the folder of the base model"
    is_quantized = isinstance(settings.strategy, QLoraSettings)
    options = f"{revision}{labels}{', quantization_config=four_bit' if is_quantized else ''}"
    return [
        "from peft import PeftModel",
        f"from transformers import {loader}, AutoTokenizer" + (", BitsAndBytesConfig" if is_quantized else ""),
        "",
        f"base = {_literal(base)}{where}",
        f"tokenizer = AutoTokenizer.from_pretrained(base{revision})",
        *_quantization(plan),
        f"model = {loader}.from_pretrained(base{options})",
        'model = PeftModel.from_pretrained(model, "adapter").eval()',
    ]


def _quantization(plan: Plan) -> list[str]:
    """The 4-bit form in which the base model was loaded for training; no lines for other strategies."""
    strategy = plan.settings.strategy
    if not isinstance(strategy, QLoraSettings):
        return []
    whole = list(strategy.adapter.trained_modules)
    return [
        "four_bit = BitsAndBytesConfig(",
        f'    load_in_4bit=True, bnb_4bit_quant_type="{strategy.quantization}",',
        f"    bnb_4bit_use_double_quant={strategy.double_quantization},",
        f'    bnb_4bit_compute_dtype="{plan.settings.train.precision}",',
        *([f"    llm_int8_skip_modules={_literal(whole)},"] if whole else []),
        ")",
    ]


def _literal(value: str | list[str]) -> str:
    """A text, or texts, as Python writes them with double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _classify(plan: Plan) -> list[str]:
    text = plan.settings.text
    return [
        f"labels = {_literal(list(text.labels))}",
        f'inputs = tokenizer("A text to sort.", truncation=True, max_length={text.max_length}, return_tensors="pt")',
        "print(labels[model(**inputs).logits.argmax().item()])",
    ]


def _generate(plan: Plan) -> list[str]:
    text = plan.settings.text
    limit = plan.settings.eval.max_new_tokens or plan.data["train"].supervised_max
    if not (text.uses_chat_template or text.form == "chat"):
        read = ['inputs = tokenizer("A prompt.", return_tensors="pt")']
    else:
        system = [f'    {{"role": "system", "content": {_literal(text.system)}}},'] if text.system else []
        read = [
            "messages = [",
            *system,
            '    {"role": "user", "content": "A prompt."},',
            "]",
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ")",
        ]
    stops = f", eos_token_id={list(plan.settings.model.stop_ids)!r}" if plan.settings.model.stop_ids else ""
    return [
        *read,
        f"output = model.generate(**inputs, do_sample=False, max_new_tokens={limit}{stops})",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
