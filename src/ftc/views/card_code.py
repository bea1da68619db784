"""Python that loads a run's result, for its model card."""

from __future__ import annotations

from pathlib import PurePosixPath

from ftc.spec.plan import Plan
from ftc.spec.settings import FullSettings

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
    revision = f", revision={commit!r}" if commit else ""
    labels = f", num_labels={len(settings.text.labels)}" if settings.model.head == "classification" else ""
    base = settings.model.base if commit else PurePosixPath(settings.model.base.replace("\\", "/")).name
    where = "" if commit else "  # the folder of the base model"
    return [
        "from peft import PeftModel",
        f"from transformers import {loader}, AutoTokenizer",
        "",
        f"base = {base!r}{where}",
        f"tokenizer = AutoTokenizer.from_pretrained(base{revision})",
        f"model = {loader}.from_pretrained(base{revision}{labels})",
        'model = PeftModel.from_pretrained(model, "adapter").eval()',
    ]


def _classify(plan: Plan) -> list[str]:
    text = plan.settings.text
    return [
        f"labels = {list(text.labels)!r}",
        f'inputs = tokenizer("A text to sort.", truncation=True, max_length={text.max_length}, return_tensors="pt")',
        "print(labels[model(**inputs).logits.argmax().item()])",
    ]


def _generate(plan: Plan) -> list[str]:
    text = plan.settings.text
    limit = plan.settings.eval.max_new_tokens or 128
    if not (text.uses_chat_template or text.form == "chat"):
        read = ['inputs = tokenizer("A prompt.", return_tensors="pt")']
    else:
        system = [f'    {{"role": "system", "content": {text.system!r}}},'] if text.system else []
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
