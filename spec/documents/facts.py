"""What the world holds, as read once by `compiler.resolve` and handed to the passes as plain data.

Passes and views never look at files, devices or packages themselves; they get these documents.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from ftc.spec.architectures import Architecture, Family, architecture
from ftc.spec.base import Document, SparseDocument
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.device import Speed
from ftc.spec.documents.own_tokenizer import OwnTokenizer
from ftc.spec.documents.packed_weights import PackedWeights
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.documents.vision_facts import VisionFacts
from ftc.spec.experts import Experts, expert_matrices, experts_of
from ftc.spec.names import InsidePath
from ftc.spec.quantized_files import QuantizedMethod
from ftc.spec.sections.model import AttentionKernel

__all__ = [
    "DeviceFacts",
    "EnvironmentFacts",
    "FileFacts",
    "ModelFacts",
    "PackageFacts",
    "TeacherFacts",
    "TensorFacts",
    "TokenizerFacts",
]


_OF_TEMPLATES = frozenset(("FTC329", "FTC331", "FTC332", "FTC333"))
"""What a chat template does wrong."""


class FileFacts(Document):
    """One file by its content."""

    size: int
    """Size in bytes."""
    sha256: str
    """sha256 of the bytes, in hexadecimal."""


class TensorFacts(Document):
    """One tensor of a safetensors file, from its header."""

    dtype: str
    """safetensors name of the element type, such as `F32` or `BF16`."""
    shape: tuple[int, ...]
    """Sizes, outermost first."""

    @property
    def num_elements(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count


class TokenizerFacts(Document):
    """A tokenizer as its files describe it."""

    vocab_size: int
    """Highest token id plus one, added tokens included."""
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    model_max_length: int | None
    """Longest sequence that the tokenizer's own configuration allows, in tokens; None where it sets no limit."""
    chat_template: str | None
    """Source text of the chat template, or None for a base model."""
    mask_id: int | None = None
    """Token that stands for one that has to be filled in; None where there is none."""
    sentinels: tuple[int, ...] = ()
    """Tokens that stand for missing spans, T5's `<extra_id_0>` and so on; empty where there are none."""
    own: OwnTokenizer | None = None
    """What the recipe changes of it; the other facts say how it is then."""

    def at_template(self, found: Diagnostic) -> Diagnostic:
        """A finding about the chat template at its own key, where the recipe brings it along."""
        is_own = self.own is not None and self.own.chat_template is not None and found.path == "model.base"
        return replace(found, path="model.chat_template") if is_own and found.code in _OF_TEMPLATES else found


class ModelFacts(Document):
    """A model folder or hub snapshot, read without importing any framework."""

    name: str
    """What the recipe calls it: a path relative to the project root, or a hub id."""
    source: Literal["local", "hub"]
    commit: str | None
    """Full commit hash of a hub snapshot; None for a local folder."""
    files: dict[InsidePath, FileFacts]
    """Every file that loading reads, by its path inside the folder."""
    architecture: str
    """First class name in config.json, such as `LlamaForCausalLM`; empty where it names none."""
    model_type: str
    """`model_type` in config.json, such as `llama`."""
    config: dict[str, Any] = Field(default={})
    """What config.json says about the model's form, through a closed list of keys; the memory trace builds by it."""
    family: Family
    hidden_size: int
    intermediate_size: int
    num_layers: int
    """Layers of the decoder or encoder; of the encoder where there are both."""
    num_decoder_layers: int | None = None
    """Layers of the decoder of an encoder-decoder; None for the other families."""
    decoder_start_id: int | None = None
    """Token that the decoder of an encoder-decoder begins with; None for the other families, or where none is named."""
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    """Rows of the input embedding."""
    max_positions: int | None
    """Longest sequence that the position encoding allows, in tokens."""
    tied_embeddings: bool
    """Whether the output layer shares the input embedding's weights."""
    tensors: dict[str, TensorFacts]
    """Every stored tensor by its name."""
    linear_modules: dict[str, tuple[int, int]]
    """Linear layers that adapters may target, by full module name: (inputs, outputs). No embedding, head or pooler.

    Names are those of the file. A task model may load its backbone under another prefix: a stored name and a loaded
    one mean the same module when they are equal, or when one ends with a dot and the other.
    """
    attention: tuple[AttentionKernel, ...] | None = None
    """Attention kernels that the model's class in the installed transformers has; None where that isn't known."""
    vision: VisionFacts | None = None
    """What reads images; None for a model that reads text alone."""
    quantized_files: QuantizedMethod | None = None
    """How its files hold quantized weights, which `tensors` has whole; None where files hold them so."""
    packed: PackedWeights | None = None
    """Layers that stay quantized in memory; None where none do."""
    rope: RopeSettings | None = None
    """How the recipe scales its rotation; `max_positions` says how long sequences are then."""
    license: str | None
    """SPDX-like id in lower case from the model card or a license file; None when none is stated."""
    tokenizer: TokenizerFacts

    @property
    def kind(self) -> Architecture:
        """What ftc knows of models of this type."""
        return architecture(self.model_type)

    @cached_property
    def num_parameters(self) -> int:
        """Stored parameters, a shared tensor counted once."""
        return sum(tensor.num_elements for tensor in self.tensors.values())

    @cached_property
    def experts(self) -> Experts | None:
        """Its experts, where layers are a mixture of them."""
        return experts_of(self.kind.experts, self.config, self.tensors)

    @cached_property
    def expert_matrices(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each expert, by what memory calls the tensors of a layer's; none in a dense model."""
        mixture = self.kind.experts
        return expert_matrices(mixture, self.experts, self.hidden_size) if mixture and self.experts else {}

    @property
    def num_active(self) -> int:
        """Parameters that a token goes through: all but those of the experts that it isn't sent to."""
        return self.num_parameters - (self.experts.idle if self.experts else 0)


class TeacherFacts(Document):
    """A model to learn from."""

    model: ModelFacts
    labels: tuple[str, ...]
    """What its outputs are called, by their number; empty where config.json doesn't say."""
    problem: str | None
    """`problem_type` in config.json, such as `multi_label_classification`."""
    other_tokens: str | None
    """In what its tokenizer differs from the base model's; None where both give every text the same ids."""


class DeviceFacts(Document):
    """The device that the plan is for: this machine's, or one of the catalog by name."""

    name: str
    """Catalog name such as `rtx-4090`, or `cpu`."""
    kind: Literal["cpu", "cuda"]
    label: str
    """Name for people, such as `NVIDIA GeForce RTX 4090`."""
    memory_bytes: int
    """Memory that a process can use: what the driver reports of a card, the machine's memory for a CPU."""
    count: int
    """Devices of this kind that are at hand; 1 for a CPU."""
    has_bfloat16: bool
    """Whether bfloat16 arithmetic runs at full speed."""
    threads: int
    """CPU threads that the run uses: physical cores of this machine, as far as this process may use them."""
    local: bool
    """Whether this is the machine at hand, as opposed to one of the catalog."""
    capability: tuple[int, int] | None = None
    """CUDA's (major, minor); None for a CPU and where unknown."""
    host_bytes: int | None = None
    """Host memory beside a card that is in this machine; None for a CPU, and where it isn't known."""
    speed: Speed | None = None
    """What it reaches at best by its data sheet; None for a CPU, which has none, and for cards nobody described."""


class PackageFacts(SparseDocument):
    """One installed distribution."""

    ABSENT_AT_DEFAULT: ClassVar[tuple[str, ...]] = ("code_sha256",)

    version: str
    sha256: str
    """Digest over the installed files' own digests (RECORD), without what an installer adds of its own."""
    code_sha256: str | None = None
    """Digest over the Python and native files that an import would load, as they are; None and absent from documents
    where nobody took it: of packages that decide no numbers, and in locks and records of earlier releases."""

    def agrees_with(self, other: PackageFacts | None) -> bool:
        """Whether both may be the same build, by all that is known of both."""
        if other is None or (self.version, self.sha256) != (other.version, other.sha256):
            return False
        return not (self.code_sha256 and other.code_sha256) or self.code_sha256 == other.code_sha256

    @property
    def build(self) -> str:
        """Version and digests, short, for people."""
        code = f", code {self.code_sha256[:12]}" if self.code_sha256 else ""
        return f"{self.version} {self.sha256[:12]}{code}"


class EnvironmentFacts(Document):
    """Interpreter, platform and the packages that can change a result."""

    python: str
    """`major.minor.micro`."""
    platform: str
    """Tag of the lock's platform block, such as `linux-x86_64-cp311`."""
    packages: dict[str, PackageFacts]
    """Packages that a run imports, by normalized name."""
    missing: tuple[str, ...] = ()
    """Packages of the `train` extra that are not installed here."""
    unverified: tuple[str, ...] = ()
    """Packages whose digest says nothing of their code: editable installs, and those without a RECORD."""
