"""Python that loads a run's result, for its model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import PurePosixPath

from ftc.spec.documents.plan import Plan
from ftc.spec.documents.pushed import Target
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.vision_settings import VisionSettings
from ftc.spec.embedding_losses import Pooling
from ftc.spec.heads import head_card
from ftc.spec.precisions import precision_card
from ftc.spec.quantized_files import files_card
from ftc.spec.storage.paths import base_from_run
from ftc.spec.strategies import strategy_card
from ftc.spec.text_forms import form_card
from ftc.spec.unquantized import unquantized
from ftc.spec.vision_card import VisionModel
from ftc.views.words import auto_class

__all__ = ["inline_code", "loading_code"]


_POOLED: dict[Pooling, str] = {"mean": "states.mean(dim=0)", "cls": "states[0]", "last": "states[-1]"}
"""How the states of a single text, which has no padding, become its vector."""


def loading_code(plan: Plan, folder: str | None = None, target: Target | None = None) -> str:
    """Lines that load tokenizer and model and try them, with the base model's hub id or the name of its folder.

    Args:
        plan: The run's plan.
        folder: Where a whole model lies, where the result isn't what the run itself left.
        target: The repository that holds it; None where the card lies beside it.
    """
    loader = auto_class(plan)
    is_whole = folder is not None or strategy_card(plan.settings.strategy).is_whole
    where = _literal(target.repo if target else folder or "model")
    whole = [
        f"from transformers import {loader}, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({where})",
        f"model = {loader}.from_pretrained({where}).eval()",
    ]
    text, head = plan.settings.text, head_card(plan.settings.model.head)
    labels, length = _literal(list(text.labels)), str(text.max_length)
    vectors = plan.settings.train.embedding
    words = {
        "{prefix}": _literal(vectors.query_prefix if vectors else ""),
        "{pooled}": _POOLED[vectors.pooling] if vectors else "",
        "{labels}": labels,
        "{separator}": _literal(plan.recipe.task.separator),
        "{scales}": json.dumps(_scales(plan), ensure_ascii=False),
        "{max_length}": length,
    }
    is_ended = head.scores_rows and plan.settings.model.family == "encoder_decoder"
    own = form_card(text.form).example or head.example
    example = _ended(own) if is_ended else own
    trial = [reduce(lambda text, word: text.replace(*word), words.items(), line) for line in example]
    return "\n".join(
        (*(whole if is_whole else _adapted(plan, loader, target)), "", *(_generate(plan) if head.writes else trial))
    )


def _ended(example: Sequence[str]) -> list[str]:
    """Lines that read a text, where the head looks for the token that ends it, which not every tokenizer writes."""
    read = next(line for line in example if line.startswith("inputs = tokenizer("))
    given = read.split('"')[1]
    own = 'ends = tokenizer(text)["input_ids"][-1] == tokenizer.eos_token_id  # most tokenizers end a text themselves'
    ended = read.replace(f'"{given}"', "text if ends else text + tokenizer.eos_token")
    at = list(example).index(read)
    return [*example[:at], f'text = "{given}"', own, ended, *example[at + 1 :]]


def _scales(plan: Plan) -> dict[str, tuple[float, float]]:
    """Mean and spread by which the outputs of a head for numbers are turned back, by name."""
    settings = plan.settings
    rated = settings.train.regression
    if rated is None:
        return dict.fromkeys(settings.text.labels, (0.0, 1.0))
    named = zip(settings.text.labels, rated.scales, strict=True)
    return {name: (scale.mean, scale.spread) for name, scale in named}


def _adapted(plan: Plan, loader: str, target: Target | None) -> list[str]:
    settings = plan.settings
    commit = settings.model.commit
    revision = f", revision={_literal(commit)}" if commit else ""
    labels = (
        f", num_labels={len(settings.text.labels)}"
        if head_card(settings.model.head).is_new and settings.text.labels
        else ""
    )
    base = settings.model.base if commit else base_from_run(plan.recipe_file, settings.model.base)
    if target is not None and not commit:
        base = f"./{PurePosixPath(base).name}"
    where = "" if commit else "  # folder of the base model"
    traits = settings.strategy.traits
    dequantizer = _dequantizer(settings)
    is_quantized = traits.quantized is not None or dequantizer is not None
    is_scaled = settings.model.rope is not None
    said = ", config=config" if is_scaled else labels
    options = f"{revision}{said}{', quantization_config=quantization' if is_quantized else ''}"
    is_ours, own = settings.strategy.peft() is None, settings.model.tokenizer
    adapter = _literal(target.repo if target else "adapter")
    if target is not None and is_ours:
        adapter = f"snapshot_download({adapter})"
    kept, quantization = (
        list(unquantized(settings)),
        [f"quantization = {dequantizer}(dequantize=True)"] * bool(dequantizer),
    )
    if traits.quantized is not None and traits.quantized.type == "int8":
        skipped = f", llm_int8_skip_modules={_literal(kept)}" if kept else ""
        quantization = [f"quantization = BitsAndBytesConfig(load_in_8bit=True{skipped})"]
    elif traits.quantized is not None:
        quantization = [
            "quantization = BitsAndBytesConfig(",
            f'    load_in_4bit=True, bnb_4bit_quant_type="{traits.quantized.type}",',
            f"    bnb_4bit_use_double_quant={traits.quantized.double},",
            f'    bnb_4bit_compute_dtype="{precision_card(settings.train.precision).products.name}",',
            *([f"    llm_int8_skip_modules={_literal(kept)},"] if kept else []),
            ")",
        ]
    has_unread_pooler = loader == "AutoModel" and settings.model.family == "encoder"
    # What writes behind virtual tokens needs peft and transformers to mean the same by the cache.
    writes_behind = traits.num_virtual > 0 and head_card(settings.model.head).writes
    return [
        *(["from ftc.runtime.strategies.virtual_tokens import agree_on_cache"] if writes_behind else []),
        *(["from huggingface_hub import snapshot_download"] if is_ours and target else []),
        "from ftc.runtime.strategies.bottleneck import load_adapter" if is_ours else "from peft import PeftModel",
        f"from transformers import {'AutoConfig, ' if is_scaled else ''}{loader}, AutoTokenizer"
        + (f", {dequantizer or 'BitsAndBytesConfig'}" if is_quantized else ""),
        "",
        f"base = {_literal(base)}{where}",
        f"tokenizer = AutoTokenizer.from_pretrained({f'base{revision}' if own is None else adapter})",
        *quantization,
        *_scaled_rotation(settings.model.rope, f"{revision}{labels}"),
        *(["# the base model's packed weights are read by gptqmodel and optimum"] if settings.model.packed else []),
        f"model = {loader}.from_pretrained(base{options})",
        *([f"model.resize_token_embeddings({own.rows}, mean_resizing=False)"] if own and own.tokens else []),
        *(["model.pooler = None  # which the run left out, too"] if has_unread_pooler else []),
        f"model = {'load_adapter' if is_ours else 'PeftModel.from_pretrained'}(model, {adapter}).eval()",
        *(["agree_on_cache(model)"] if writes_behind else []),
    ]


def _dequantizer(settings: Settings) -> str | None:
    """transformers' class by which quantized files are dequantized while they are loaded; None where none is needed."""
    card = files_card(settings.model.quantized_files or "")
    return card.dequantizer.config if card and card.dequantizer else None


def _scaled_rotation(rope: RopeSettings | None, options: str) -> list[str]:
    """Lines that make a configuration with scaled positions; none where they are the model's own."""
    if rope is None:
        return []
    return [
        f"config = AutoConfig.from_pretrained(base{options})",
        f"config.rope_parameters = {{**config.rope_parameters, **{rope.parameters()!r}}}",
        f"config.max_position_embeddings = {rope.values()['max_position_embeddings']}",
    ]


def _literal(value: str | list[str]) -> str:
    """A text, or texts, as Python writes them with double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _generate(plan: Plan) -> list[str]:
    text = plan.settings.text
    limit = plan.settings.eval.max_new_tokens or plan.data["train"].supervised_max
    stops = f", eos_token_id={list(plan.settings.model.stop_ids)!r}" if plan.settings.model.stop_ids else ""
    if plan.settings.model.family == "encoder_decoder":
        start = f", decoder_start_token_id={plan.settings.model.decoder_start_id}"
        return [
            f'inputs = tokenizer("A prompt.", truncation=True, max_length={text.max_length}, return_tensors="pt")',
            f"output = model.generate(**inputs, do_sample=False, max_new_tokens={limit}{start}{stops})",
            "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        ]
    if plan.settings.model.vision is not None:
        return _generate_for_image(plan, limit, stops)
    if not (text.uses_chat_template or form_card(text.form).is_conversation):
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
    return [
        *read,
        f"output = model.generate(**inputs, do_sample=False, max_new_tokens={limit}{stops})",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _generate_for_image(plan: Plan, limit: int, stops: str) -> list[str]:
    """Lines that ask about an image: the tokens of it stand in the prompt, as `ftc` trained on them."""
    vision = plan.settings.model.vision
    assert vision is not None, "the model reads images"
    known = vision.card
    mark = "begin" if known.edge_keys else "token"
    marked = f'inputs["{known.marks}"] = (inputs["input_ids"] == {vision.image_token_id}).int()'
    if known.sees_ahead == "prompt":  # which all of it is
        marked = f'inputs["{known.marks}"] = inputs["input_ids"] * 0'
    plain = f'prompt = {mark} + "\\nA prompt."'
    if known.prompt_words is not None:
        behind, end = map(_quoted, known.prompt_words)
        plain = f'prompt = f"{{{mark}}}{behind.format(bos="{tokenizer.bos_token}")}A prompt.{end}"'
    wrapped = [
        'parts = [{"type": "image"}, {"type": "text", "text": "A prompt."}]',
        "prompt = tokenizer.apply_chat_template(",
        '    [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False',
        ")",
    ]
    return [
        "from PIL import Image, ImageOps",
        "from transformers import AutoImageProcessor",
        "",
        'images = AutoImageProcessor.from_pretrained(tokenizer.name_or_path, backend="pil")',
        'image = Image.new("RGB", (224, 224), "red")  # a picture to try; instead of it a file:',
        '# image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")',
        f"token = tokenizer.convert_ids_to_tokens({vision.image_token_id})",
        *_edges(known),
        *(wrapped if plan.settings.text.uses_chat_template else [plain]),
        *_image_text(vision),
        f"prompt = prompt.replace({mark}, shown)",
        'inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
        "inputs |= pixels",
        *([marked] if known.marks else []),
        f"output = model.generate(**inputs, do_sample=False, max_new_tokens={limit}{stops})",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _edges(known: VisionModel) -> list[str]:
    """Lines with the tokens that begin and end an image; none where there are none."""
    if not known.edge_keys:
        return []
    ids = ", ".join(f"model.config.{key}" for key, _ in known.edge_keys)
    return [f"begin, end = tokenizer.convert_ids_to_tokens([{ids}])"]


def _image_text(vision: VisionSettings) -> list[str]:
    """Lines that make an image's pixels, and the text that stands for it: its features with the card's words."""
    known, pans = vision.card, vision.pans
    words, in_squares = known.words, known.shapes == "squares"
    number = "len(model.get_image_features(**pixels, return_dict=True).pooler_output[0])"
    info = "return_row_col_info=True, " if in_squares else ""
    info += "".join(f"{name}={value}, " for name, value in vision.processor_options.items())
    lines = [f'pixels = images(images=[image], {info}return_tensors="pt")']
    if in_squares:
        lines += ['rows, columns = pixels["rows"][0][0], pixels["cols"][0][0]']
        number += " // (rows * columns + 1)"
    if pans is not None:
        lines += ['crops = int(pixels["num_crops"][0])']
    lines += ['pixels = {name: one for name, one in pixels.items() if name.startswith(("pixel", "image"))}']
    most = vision.tokens_per_image if pans is None else pans.each
    lines += [f"features = token * {most}" if known.shapes == "one" else f"features = token * ({number})"]
    if known.shapes == "crops":  # each square has as many as the whole, and no words of its own
        number = "model.get_image_features(**pixels, return_dict=True).pooler_output[..., 0].numel()"
        lines[-1] = f"features = token * {number}"
    shown = f'f"{_quoted(words.begin + words.before)}{{features}}{_quoted(words.after)}"'
    if pans is not None:
        cropped, around, between = map(_quoted, (words.cropped, words.crops, words.next_crop))
        crops = f'"{cropped}" + shown + "{around}" + "{between}".join([shown] * crops)'
        return [*lines, f"shown = {shown}", "if crops:", f"    shown = {crops}"]
    if not in_squares:
        return [*lines, f"shown = {shown}"]
    return [
        *lines,
        'shown = ""',
        "for row in range(1, rows + 1):",
        "    for column in range(1, columns + 1):",
        f'        shown += f"{_quoted(words.square)}{{features}}"',
        f'    shown += "{_quoted(words.row_end)}"',
        f'shown += ("{_quoted(words.squares_end)}" if rows else "") + {shown}',
    ]


def _quoted(text: str) -> str:
    """A text of a card within a string of Python."""
    return text.replace("\n", "\\n")


def inline_code(value: str) -> str:
    """Text on one line as code; a backtick would end it, a bar would end a table's cell."""
    return f"`{' '.join(value.split()).replace('`', chr(39)).replace('|', '/')}`"
