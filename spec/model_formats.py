"""Formats in which a tuned model leaves ftc: one card each, which command line, API, runtime and docs ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ftc.spec.quantized_weights import QuantizedWeights, quantized_weights

__all__ = ["FILE_TYPES", "MODEL_FORMATS", "FileType", "HubForm", "HubKind", "ModelFormat", "file_type", "model_format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """A type of weights in an exported file.

    Attributes:
        name: What `--type` takes: llama.cpp's name, torchao's, or `int8_dynamic` for onnxruntime's, where activations
            have 8 bits as well, scaled as they come.
        number: llama.cpp's number of it; None where it has none.
        plain: ftc's and PyTorch's name of it; None for types that only such a file has.
        quantized: How torchao quantizes linear layers; None where it doesn't.
        allowed: The most that a score may differ from the tuned model's, as a share of the spread of all scores.
        least_same: The least share of choices that have to be the same.
        is_measured: Whether the recipe's gates have to hold again with the file: so few bits change answers.
    """

    name: str
    number: int | None
    plain: Literal["float32", "float16", "bfloat16"] | None
    quantized: QuantizedWeights | None
    allowed: float
    least_same: float
    is_measured: bool


FILE_TYPES: tuple[FileType, ...] = (
    FileType(name="f32", number=0, plain="float32", quantized=None, allowed=1e-4, least_same=0.99, is_measured=False),
    FileType(name="f16", number=1, plain="float16", quantized=None, allowed=0.01, least_same=0.97, is_measured=False),
    FileType(
        name="bf16", number=32, plain="bfloat16", quantized=None, allowed=0.05, least_same=0.95, is_measured=False
    ),
    FileType(
        name="int8",
        number=None,
        plain=None,
        quantized=quantized_weights("int8"),
        allowed=0.2,
        least_same=0.9,
        is_measured=True,
    ),
    FileType(
        name="int8_dynamic",
        number=None,
        plain=None,
        quantized=None,
        allowed=0.2,
        least_same=0.9,
        is_measured=True,
    ),
    FileType(name="q8_0", number=7, plain=None, quantized=None, allowed=0.2, least_same=0.9, is_measured=True),
    FileType(
        name="float8",
        number=None,
        plain=None,
        quantized=quantized_weights("float8"),
        allowed=0.2,
        least_same=0.85,
        is_measured=True,
    ),
    FileType(name="q6_k", number=18, plain=None, quantized=None, allowed=0.2, least_same=0.85, is_measured=True),
    FileType(name="q5_k_m", number=17, plain=None, quantized=None, allowed=0.2, least_same=0.8, is_measured=True),
    FileType(name="q4_k_m", number=15, plain=None, quantized=None, allowed=0.25, least_same=0.75, is_measured=True),
    FileType(
        name="int4",
        number=None,
        plain=None,
        quantized=quantized_weights("int4"),
        allowed=0.25,
        least_same=0.75,
        is_measured=True,
    ),
)
"""From the most bits to the fewest. Seen: f32 0.0001 %, f16 0.4 %, q8_0 3 % and q4_k_m 10 % of the spread."""


_SAFETENSORS = ".safetensors"

HubKind = Literal["gguf", "lora-gguf", "onnx", "merged"]
"""What a push of an exported folder calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubForm:
    """What a folder of a format is on the hub.

    Attributes:
        kind: What a push calls it.
        relation: To its base model, by the hub's word; `quantized` in any case where the weights have few bits.
        library: The hub's name of the library that loads it.
        tags: Further tags.
        about: Which program uses it from there.
        use: Command lines for that, with `{repo}`, `{file}`, `{name}`, `{base}` and `{texts}`; empty where transformers
            loads it by the repository's name.
    """

    kind: HubKind
    relation: Literal["adapter", "finetune", "quantized"]
    library: str
    tags: tuple[str, ...]
    about: str
    use: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFormat:
    """A format of other programs.

    Attributes:
        name: What `--format` takes.
        about: What is written.
        types: Types of weights that it is written in, the usual one first.
        needs: Packages beside those of training, by the names that Python imports.
        extra: The extra of ftc that installs them; empty where nothing is needed.
        made_by: What writes it: llama.cpp's converter, for a whole model or for an adapter alone, torch's exporter, or
            transformers.
        takes: The models that it is for.
        beside: What is written beside it: a template for Ollama, or a program; None where the file is enough.
        hub: What a folder of it is on the hub.
        suffix: How the name of a file with weights ends.
        serve: Command line that serves it, with `{folder}`, `{file}`, `{name}`, `{base}`
            of the base model, and `{texts}` to try; empty where a program of one's own loads it.
    """

    name: str
    about: str
    types: tuple[str, ...]
    needs: tuple[str, ...]
    extra: str
    made_by: Literal["model converter", "adapter converter", "torch", "transformers"]
    takes: Literal["decoders that write", "models that don't write", "all"]
    beside: Literal["ollama", "program"] | None
    hub: HubForm
    suffix: str
    serve: str

    @property
    def has_own_file(self) -> bool:
        """Whether its weights lie in a file of its own kind rather than in safetensors, as those of runs and merges."""
        return self.suffix != _SAFETENSORS

    @property
    def is_adapter(self) -> bool:
        """Whether the file holds an adapter, which needs its base model beside it."""
        return self.made_by == "adapter converter"


_MERGED = ModelFormat(
    name="merged",
    about="the whole model as a folder of safetensors, for transformers and what is built on it",
    types=("bf16", "f16", "f32", "int8", "float8", "int4"),
    needs=(),
    extra="",
    made_by="transformers",
    takes="all",
    beside=None,
    hub=HubForm(
        kind="merged",
        relation="finetune",
        library="transformers",
        tags=(),
        about="With transformers",
        use="",
    ),
    suffix=_SAFETENSORS,
    serve="",
)
_GGUF = ModelFormat(
    name="gguf",
    about="one file for llama.cpp and what is built on it",
    types=tuple(one.name for one in FILE_TYPES if one.number is not None),
    needs=("gguf", "llama_cpp_py_sync", "sentencepiece"),
    extra="gguf",
    made_by="model converter",
    takes="decoders that write",
    beside=None,
    hub=HubForm(
        kind="gguf",
        relation="quantized",
        library="gguf",
        tags=("gguf",),
        about="With llama.cpp, an HTTP server for chats and completions",
        use="llama-server --hf-repo {repo} --hf-file {file}",
    ),
    suffix=".gguf",
    serve="llama-server -m {folder}/{file}",
)
MODEL_FORMATS: tuple[ModelFormat, ...] = (
    _GGUF,
    replace(
        _GGUF,
        name="ollama",
        about="the same with a Modelfile for Ollama",
        beside="ollama",
        serve="ollama create {name} -f {folder}/Modelfile && ollama run {name}",
    ),
    replace(
        _GGUF,
        name="lora-gguf",
        about="the adapter alone, for llama.cpp beside the base model's file",
        types=("f32", "f16", "bf16"),
        made_by="adapter converter",
        hub=HubForm(
            kind="lora-gguf",
            relation="adapter",
            library="gguf",
            tags=("gguf",),
            about="With llama.cpp, beside the base model's own file, `{base}.gguf`",
            use="hf download {repo} {file} --local-dir .\nllama-server -m {base}.gguf --lora {file}",
        ),
        serve="llama-server -m {base}.gguf --lora {folder}/{file}",
    ),
    ModelFormat(
        name="onnx",
        about="classifiers, taggers, extractive answers and embeddings for onnxruntime",
        types=("f32", "int8_dynamic"),
        needs=("onnx", "onnxruntime", "onnxscript"),
        extra="onnx",
        made_by="torch",
        takes="models that don't write",
        beside="program",
        hub=HubForm(
            kind="onnx",
            relation="quantized",
            library="onnx",
            tags=("onnx",),
            about="With onnxruntime, by the program that lies beside it",
            use="pip install numpy onnxruntime tokenizers\n"
            "hf download {repo} --local-dir {name}\npython {name}/use.py {texts}",
        ),
        suffix=".onnx",
        serve="python {folder}/use.py {texts}",
    ),
    _MERGED,
    replace(
        _MERGED,
        name="vllm",
        about="the same for vLLM",
        types=("bf16", "f16", "f32", "int8", "float8"),
        takes="decoders that write",
        serve="vllm serve {folder} --served-model-name {name}",
    ),
)
"""Every format."""


def model_format(name: str) -> ModelFormat | None:
    """The format of a name; None where there is none."""
    return next((one for one in MODEL_FORMATS if one.name == name), None)


def file_type(name: str) -> FileType:
    """The type of a name, which is that of one.

    Raises:
        StopIteration: There is none.
    """
    return next(one for one in FILE_TYPES if one.name == name)
