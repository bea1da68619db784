"""Makes what this recipe needs: handwritten digits as images, rows that ask about them, and a tiny LLaVA.

    pip install -e '.[vision]'
    python recipes/images/make.py              in some seconds

The digits are those of scikit-learn, which `ftc[train]` installs: 1,797 images of 8 x 8 pixels, by 13 people, the test
set of "Optical Recognition of Handwritten Digits" of the UCI repository (CC BY 4.0). It writes:

    data/digits/0000.png …    each digit, enlarged to 32 x 32 pixels
    data/digits.jsonl         {image, prompt, completion}
    models/llava              a LLaVA of two layers each in its tower and its Llama, of random weights

The model is made once, the images as far as they are missing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUESTION = "which digit is it ?"
IMAGE = "<image>"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", IMAGE)
SIZE, PATCH = 32, 8
"""Pixels of an image's side, and of a patch's."""


def main() -> int:
    """Makes what is missing, and returns the exit status."""
    try:
        write_rows(HERE / "data")
        if not (HERE / "models" / "llava" / "README.md").exists():  # what is written last
            write_model(HERE / "models" / "llava")
    except ModuleNotFoundError as error:
        print(f"make: {error.name} is missing; pip install -e '.[vision]' installs it", file=sys.stderr)
        return 1
    print("the rows are in data/, the model in models/")
    return 0


def write_rows(folder: Path) -> None:
    """Writes an image and a row for each digit."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, rows = load_digits(), []
    (folder / "digits").mkdir(parents=True, exist_ok=True)
    for number, (ink, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        file = folder / "digits" / f"{number:04}.png"
        if not file.exists():
            small = Image.fromarray((255 - ink * 255 / 16).astype(np.uint8))  # 16 is black ink
            small.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file)
        rows.append({"image": f"digits/{file.name}", "prompt": QUESTION, "completion": NAMES[digit]})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "digits.jsonl").write_text(text, encoding="utf-8", newline="\n")


def write_model(folder: Path) -> None:
    """Writes a LLaVA with its image processor and a tokenizer of the words that rows have."""
    import torch
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *QUESTION.split(), *NAMES))}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tower = t.CLIPVisionConfig(image_size=SIZE, patch_size=PATCH, projection_dim=64, **sizes)
    text = t.LlamaConfig(**sizes, vocab_size=len(vocabulary), max_position_embeddings=64, pad_token_id=0)
    torch.manual_seed(7)
    config = t.LlavaConfig(vision_config=tower, text_config=text, image_token_index=vocabulary[IMAGE])
    t.LlavaForConditionalGeneration(config).save_pretrained(folder)
    sides = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    kind = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "do_center_crop": True, "do_rescale": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({**kind, "do_normalize": True, **sides}), "utf-8")
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[3]))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made.add_special_tokens([*SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    pad, begin, end, unknown, _ = SPECIAL
    names = {"pad_token": pad, "bos_token": begin, "eos_token": end, "unk_token": unknown}
    written = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(written), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
