"""Codes of rows with images, and of models that read them."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC120",
        title="image file can't be read",
        cause="A row names an image file that is not there, may not be read, or changes while the plan is made. Paths "
        "are relative to the data file.",
        wrong='{"image": "picture/cat.png", "prompt": "What is it?", "completion": "A cat."}  # there is no such file',
        right='{"image": "pictures/cat.png", "prompt": "What is it?", "completion": "A cat."}',
    ),
    Code(
        id="FTC121",
        title="file that is not an image, or is damaged",
        cause="The file can't be decoded: it is cut off, damaged, or of another format than BMP, GIF, JPEG, PNG, TIFF "
        "and WebP. A run would fail on it hours later, so the plan decodes every image once.",
        wrong='{"image": "cat.svg", "prompt": "What is it?", "completion": "A cat."}',
        right='{"image": "cat.png", "prompt": "What is it?", "completion": "A cat."}',
    ),
    Code(
        id="FTC122",
        title="image that is too large",
        cause="The file has more than 64 MiB, or the image more than 67 million pixels. A small file can hold an "
        "image of many gigabytes (a decompression bomb), so sizes are limited before anything is decoded.",
        wrong='{"image": "scan-60000x60000.png", "prompt": "Read it.", "completion": "Invoice 17"}',
        right='{"image": "scan-2000x2000.png", "prompt": "Read it.", "completion": "Invoice 17"}',
    ),
    Code(
        id="FTC123",
        title="image with more than 8 bits a channel",
        cause="Models read 8 bits a channel. A conversion of a 16-bit or floating-point image would clip everything "
        "above 255, which leaves most such images white.",
        wrong='{"image": "xray-16bit.png", "prompt": "What is seen?", "completion": "Nothing."}',
        right='{"image": "xray-8bit.png", "prompt": "What is seen?", "completion": "Nothing."}',
    ),
    Code(
        id="FTC124",
        title="image with several frames",
        cause="The file is animated or has several pages. A model reads one image, and only you know which frame "
        "matters.",
        wrong='{"image": "cat.gif", "prompt": "What does it do?", "completion": "It jumps."}',
        right='{"image": "cat-frame-7.png", "prompt": "What does it do?", "completion": "It jumps."}',
    ),
    Code(
        id="FTC125",
        title="images for a model that reads text alone",
        cause="Rows have images, and the model has no vision tower. Training without the images would teach it to "
        "guess.",
        wrong="task: {kind: generation}\nmodel: {base: ./models/smollm2}\ndata: {fields: {image: photo}}",
        right="task: {kind: generation}\nmodel: {base: ./models/llava}\ndata: {fields: {image: photo}}",
    ),
    Code(
        id="FTC127",
        title="not available for a model that reads images",
        cause="A vision-language model is fine-tuned by adapters on the linear layers of its language model, or by "
        "full training of the parts that `train_parts` names, in tasks of kind `generation` and `chat`. Other options "
        "would train, pack or compare parts that read images, which this release doesn't do. Several processes wait "
        "for each other's gradients, so they can't train a tower, and a projector only where each row has an image. "
        "PaliGemma reads its prompt in both directions: a conversation with several answers would show it what it is "
        "to write.",
        wrong="model: {base: ./models/llava}\nstrategy: {kind: bitfit}",
        right="model: {base: ./models/llava}\nstrategy: {kind: full}",
    ),
    Code(
        id="FTC128",
        title="image processor doesn't fit the model",
        cause="The files that say how images become numbers are missing, or disagree with config.json or the "
        "tokenizer: the model would read images of another size, or there is no token for them. Or an image of the "
        "rows has a shape that the image processor doesn't take, such as a strip.",
        wrong="models/llava  # without preprocessor_config.json",
        right="models/llava/preprocessor_config.json",
    ),
    Code(
        id="FTC129",
        title="Pillow is missing",
        cause="Images are decoded by Pillow, which the extra `vision` brings.",
        wrong="pip install ftc",
        right="pip install 'ftc[vision]'",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC492",
        title="rows without their image",
        cause="The cell for an image is empty, as it is where an export loses a file. The model reads such a row as "
        "text alone, and learns to answer about an image that it doesn't see. Rows that have none on purpose, beside "
        "rows with images, have an empty list or no such key.",
        wrong="image,prompt,completion\n,What is it?,A square.",
        right="image,prompt,completion\na.png,What is it?,A square.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC414",
        title="images differ from the plan",
        cause="The images beside the token streams are missing or damaged, the image processor can't be "
        "loaded, or it makes other pixels of the first images than when the plan was made: the run would train on "
        "something else.",
        wrong="ftc apply out.plan  # after an update of transformers or Pillow",
        right="ftc plan recipe.yaml  # again, with what is installed now",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
)
