"""Codes 3xx, what the recipe points at: models, data, templates."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

CODES: tuple[Code, ...] = (
    Code(
        id="FTC300",
        title="unsafe path",
        cause="Paths in a recipe are relative to the recipe's folder and must stay inside the project, after links "
        "are resolved. This keeps recipes portable, and a recipe from a stranger can't read other files. A path on the "
        "command line is refused where a part of it is longer than any file's name can be.",
        wrong="data: {source: {path: /home/me/train.csv}}",
        right="data: {source: {path: data/train.csv}}",
    ),
    Code(
        id="FTC301",
        title="model folder not found",
        cause="`model.base` names a folder that doesn't exist. The path is relative to the recipe's folder.",
        wrong="model: {base: ./models/minilmm}",
        right="model: {base: ./models/minilm}",
    ),
    Code(
        id="FTC302",
        title="not a model folder",
        cause="The folder has no config.json or no weights.",
        wrong="model: {base: ./models}",
        right="model: {base: ./models/minilm}",
    ),
    Code(
        id="FTC303",
        title="unsupported weight format",
        cause="`.bin`, `.pt` and `.ckpt` files are Python pickles, which can run code when they are opened; `.gguf` "
        "files hold quantized weights for inference. ftc opens only safetensors.",
        wrong="models/tiny/pytorch_model.bin",
        right="models/tiny/model.safetensors",
    ),
    Code(
        id="FTC304",
        title="damaged safetensors file",
        cause="The header of the weight file contradicts itself or the file's size. The download was incomplete, or "
        "the file has another format.",
        wrong="model.safetensors, 12 MB of 91 MB",
        right="model.safetensors, whole",
    ),
    Code(
        id="FTC305",
        title="weight shard missing or index wrong",
        cause="model.safetensors.index.json names files that are not in the model's folder, or tensors that are not "
        "in those files.",
        wrong="model-00001-of-00002.safetensors alone",
        right="model-00001-of-00002.safetensors and model-00002-of-00002.safetensors",
    ),
    Code(
        id="FTC306",
        title="no fast tokenizer",
        cause="ftc needs tokenizer.json, which holds the whole tokenizer in one file. The model has no tokenizer, or "
        "only a slow one.",
        wrong="models/tiny/spiece.model",
        right="models/tiny/tokenizer.json",
    ),
    Code(
        id="FTC307",
        title="tokenizer larger than the embedding",
        cause="The tokenizer has ids without a row in the model's embedding. Training would fail, or stop on a GPU "
        "without a clear message.",
        wrong="a tokenizer with 32001 ids and an embedding of 32000 rows",
        right="the tokenizer that came with the model",
    ),
    Code(
        id="FTC308",
        title="unsupported architecture",
        cause="ftc supports text models that are part of transformers: decoders, encoders and encoder-decoders, and "
        "the mixtures of experts in its table of architectures; of models that read images, those in `docs/vision.md`. "
        "For others it can't compute memory or find adapter targets.",
        wrong="architectures: [MllamaForConditionalGeneration]",
        right="architectures: [LlamaForCausalLM]",
    ),
    Code(
        id="FTC309",
        title="impossible model sizes",
        cause="A size that the plan needs is missing from config.json, or the sizes contradict each other.",
        wrong="hidden_size: 0",
        right="hidden_size: 384",
    ),
    Code(
        id="FTC310",
        title="model asks to run code",
        cause="A key of the model's configuration makes loaders import or download code. ftc never runs code that "
        "comes with a model, and refuses the key even if a loader would ignore it.",
        wrong="auto_map: {AutoModel: modeling.MyModel}",
        right="a model whose architecture is part of transformers",
    ),
    Code(
        id="FTC311",
        title="model file can't be read",
        cause="A file of the model is not a JSON object, is too large or too deeply nested, or can't be opened.",
        wrong="config.json that was cut off",
        right="config.json as published",
    ),
    Code(
        id="FTC312",
        title="adapter instead of a base model",
        cause="The folder contains adapter_config.json. Loaders would silently add that adapter, or load another "
        "base model that it names.",
        wrong="model: {base: ./runs/sms/adapter}",
        right="model: {base: ./models/minilm}",
    ),
    Code(
        id="FTC313",
        title="quantized weights that can't be loaded",
        cause="The base model's files hold quantized weights that ftc doesn't load: bitsandbytes, a form of FP8, "
        "MXFP4 or compressed-tensors that transformers can't dequantize, or one of GPTQ or AWQ whose parts don't fit. "
        "Or the recipe asks of them what only whole weights can do: `qlora` quantizes unquantized weights when they "
        "are loaded, but not the experts of a mixture (FTC268). GPTQ's and AWQ's weights stay as they are in memory, "
        "beside which `lora` alone trains; several devices each hold all of them (`sharding: ddp`).",
        wrong="model: {base: someone/llama-AWQ}\nstrategy: {kind: full}",
        right="model: {base: someone/llama-AWQ}\nstrategy: {kind: lora}",
    ),
    Code(
        id="FTC314",
        title="repository not found on the hub",
        cause="The hub has no such repository, or the repository is private and no token with access is set.",
        wrong="model: {base: meta-lama/Llama-3.2-1B}",
        right="model: {base: meta-llama/Llama-3.2-1B}",
    ),
    Code(
        id="FTC315",
        title="no access to a gated repository",
        cause="The owner requires that you accept the terms on the hub. The account of your token has not accepted "
        "them, or no token is set.",
        wrong="ftc plan, without a token",
        right="accept the terms on the model's page, `hf auth login`, then ftc plan",
    ),
    Code(
        id="FTC316",
        title="revision not found on the hub",
        cause="The repository has no branch, tag or commit of this name.",
        wrong="model: {base: org/name, revision: v9}",
        right="model: {base: org/name, revision: main}",
    ),
    Code(
        id="FTC317",
        title="hub can't be reached",
        cause="There is no connection to the hub, or the hub returned an error.",
        wrong="ftc plan, without a network",
        right="ftc plan --offline, when the files are in the hub's cache",
    ),
    Code(
        id="FTC318",
        title="not in the cache, and offline",
        cause=(
            "You asked for offline mode, and the hub's cache on this machine lacks files of this repository and "
            "revision: those that you named, or those that name the classes that a column holds as numbers."
        ),
        wrong="ftc plan --offline, before the first download",
        right="ftc plan, once with a network",
    ),
    Code(
        id="FTC319",
        title="unsafe file name in a repository",
        cause="A file name of the repository would write outside the download folder.",
        wrong="../../.bashrc",
        right="config.json",
    ),
    Code(
        id="FTC320",
        title="file differs from what the hub lists",
        cause="The file's digest differs from the one that the hub lists. The download or the cache is damaged, or "
        "somebody changed the file.",
        wrong="a cached file with one bit changed",
        right="the file, downloaded again",
        exit_code=ExitCode.INTEGRITY,
    ),
    Code(
        id="FTC321",
        title="neither a folder nor a hub id",
        cause="`model.base` must be a folder, or a hub id of the form `owner/name`.",
        wrong="model: {base: 'my model'}",
        right="model: {base: org/name}",
    ),
    Code(
        id="FTC322",
        title="weights don't match the configuration",
        cause="The shape of the input embedding, the number of layers or their widths differ between the weights and "
        "config.json. Loading would fail, or leave rows or layers untrained.",
        wrong="vocab_size: 32001 with an embedding of 32000 rows",
        right="config.json and weights of the same model",
    ),
    Code(
        id="FTC323",
        title="file or split not found in a repository",
        cause="The repository has this revision, but no file with this name; or no such split or configuration. Which "
        "files are a split is what the data set's README.md lists under `configs`, in a form that ftc reads; without "
        "such a list, it is what the names of files and folders say.",
        wrong="data: {source: {hub: org/set, file: trian.csv}}",
        right="data: {source: {hub: org/set, file: train.csv}}",
    ),
    Code(
        id="FTC324",
        title="data file or split is ambiguous",
        cause="The recipe names a data set on the hub without a file, and the repository has no matching file or "
        "several. Or it names a split, and the data set has several configurations, a file that is named for two "
        "splits, or files of several kinds for it, which may hold the same rows.",
        wrong="data: {source: {hub: org/set}}  # which holds train-0.parquet and train-1.parquet",
        right="data: {source: [{hub: org/set, file: train-0.parquet}, {hub: org/set, file: train-1.parquet}]}",
    ),
    Code(
        id="FTC325",
        title="tokenizer fails on text",
        cause="The model's tokenizer.json can be loaded, but the library stops in the middle of a text: a pattern that "
        "never ends, a special token without an id, or a table that is cut off.",
        wrong='tokenizer.json: {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, ...}}',
        right="tokenizer.json as published with the model",
    ),
    Code(
        id="FTC326",
        title="not a regular file",
        cause="A path names a pipe, a socket, a device or a link to something that is gone. ftc reads regular files "
        "alone: it reads them more than once, and their checksums have to mean the same content each time.",
        wrong="mkfifo rows.jsonl",
        right="gunzip -c rows.jsonl.gz > rows.jsonl",
    ),
    Code(
        id="FTC327",
        title="data file too large",
        cause="Rows lie on disk while they are checked for duplicates and leakage across splits, up to four times as "
        "many bytes as their file has; of each row, some hundred bytes are in memory. Files of tagged words are read "
        "whole.",
        wrong="data: {source: {path: 80-gigabytes.jsonl}}  # with 100 GiB of disk left",
        right="head -n 1000000 80-gigabytes.jsonl > rows.jsonl",
    ),
    Code(
        id="FTC328",
        title="file name in another Unicode form",
        cause="An accented letter can be one code point or a letter and a combining accent. Both look the same, and "
        "most file systems distinguish them. macOS and Linux write them differently.",
        wrong="data: {source: {path: donne\u0301es.jsonl}}",
        right="data: {source: {path: donn\u00e9es.jsonl}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC329",
        title="chat template changes the conversation",
        cause="Each kind of conversation in the rows is rendered with a mark for each turn. A turn whose text is "
        "missing, rendered twice or rendered before an earlier one is reported with the template's file. Answers that "
        "the template leaves out are an error, because they could not be trained on. The first row with tools, tool "
        "calls or reasoning (`reasoning_content`, `reasoning` or `thinking`) is rendered with and without them: a "
        "template that gives the same text both times leaves them out.",
        wrong="{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
        right="{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}",
    ),
    Code(
        id="FTC345",
        title="ftc's configuration can't be read",
        cause="`ftc/config.toml` in the user's configuration folder lists the folders outside of projects in which "
        "models may lie. It is TOML with one key, `model_paths`, a list of folders.",
        wrong="model_paths = /srv/models",
        right='model_paths = ["/srv/models"]',
    ),
    Code(
        id="FTC346",
        title="an address that ftc doesn't fetch from",
        cause="Rows are fetched from `s3://`, `gs://` and `https://` addresses alone. A recipe may come from a "
        "stranger, so other schemes, chains of them, passwords in an address and unencrypted connections are refused. "
        "Databases are not read: the rows of a query can change and have no digest to pin. Export them as a file.",
        wrong='data: {source: {path: "http://example.org/rows.csv"}}',
        right='data: {source: {path: "https://example.org/rows.csv"}}',
    ),
    Code(
        id="FTC347",
        title="rows at an address can't be fetched",
        cause="The file isn't there, the network or the rights are missing, it is too large, or ftc is offline and the "
        "cache doesn't have it. Once fetched, a file is kept by the digest that the lock pins, every file of a folder "
        "or a pattern too, and `ftc lock --upgrade` takes what is there by now.",
        wrong='data: {source: {path: "s3://bucket/none.parquet"}}',
        right='data: {source: {path: "s3://bucket/rows.parquet"}}',
    ),
)
