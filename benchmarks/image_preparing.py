"""How long a CPU prepares images for models, a pixel: decoding, and transformers' own processors with Pillow.

An image of 1,024 x 768 pixels, as JPEG and as PNG, for each way in which processors make an image what a tower reads. A
pixel that is decoded counts as a part of one that a tower reads (`ftc.compiler.time.image_work`), for which
`ftc.compiler.time.speed` has the seconds.

    python benchmarks/image_preparing.py
"""

from __future__ import annotations

import io
import time

import numpy as np
from PIL import Image
from support.processes import machine
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from ftc.compiler.time.image_work import DECODED
from ftc.spec.storage.images import decode_image

WIDTH, HEIGHT, TIMES = 1024, 768, 10
PROCESSORS = {
    "LLaVA-1.5": (
        CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        336**2,
    ),
    "Gemma 3": (SiglipImageProcessorPil(size={"height": 896, "width": 896}), 896**2),
    "Qwen2-VL": (Qwen2VLImageProcessorPil(), 756 * 1036),
    "Idefics 3": (Idefics3ImageProcessorPil(), 13 * 364**2),
}
"""With the pixels that the tower reads of the image."""


def main() -> None:
    """Prints CPU seconds for each processor and file."""
    print(machine())
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((WIDTH, HEIGHT))
    for form in ("JPEG", "PNG"):
        file = io.BytesIO()
        image.save(file, form)
        for name, (processor, pixels) in PROCESSORS.items():
            processor(images=[decode_image(file.getvalue())], return_tensors="pt")  # what the first call alone does
            started = time.process_time()
            for _ in range(TIMES):
                processor(images=[decode_image(file.getvalue())], return_tensors="pt")
            seconds = (time.process_time() - started) / TIMES
            each = seconds / (pixels + DECODED * WIDTH * HEIGHT)
            print(f"{name:10} {form:5} {1e3 * seconds:6.1f} CPU ms, {1e9 * each:5.0f} ns a pixel")


if __name__ == "__main__":
    main()
