"""What the world holds, as read once by `compiler.resolve` and handed to the passes as plain data.

Passes and views never look at files, devices or packages themselves; they get these documents.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ftc.spec.architectures import Architecture, Family, architecture
from ftc.spec.base import Document
from ftc.spec.diagnostics import Diagnostic
from ftc.spec.documents.device import Speed
from ftc.spec.documents.image_shapes import ImageShape
from ftc.spec.documents.own_tokenizer import OwnTokenizer
from ftc.spec.documents.rope import RopeSettings
from ftc.spec.experts import Experts, experts_of
from ftc.spec.names import InsidePath
from ftc.spec.sections.model import AttentionKernel
from ftc.spec.vision_models import vision_model

__all__ = [
    "DeviceFacts",
    "EnvironmentFacts",
    "FileFacts",
    "ModelFacts",
    "PackageFacts",
    "PatchGrid",
    "TeacherFacts",
    "TensorFacts",
    "TileSizes",
    "TokenizerFacts",
    "VisionFacts",
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


class PatchGrid(Document):
    """How an image that keeps its shape becomes patches."""

    merge: int
    """Patches on each side of a square that becomes one token."""
    frames: int
    """Copies of an image that are read as one."""
    least_pixels: int
    """Pixels that an image is enlarged to at the least, by its processor's file."""
    most_pixels: int
    """Pixels that it has at the most; larger ones are made smaller."""

    def most_tokens(self, patch_size: int) -> int:
        """Tokens of the largest image, by the side of a patch in pixels."""
        return self.most_pixels // (patch_size * self.merge) ** 2

    def resized(self, width: int, height: int, patch_size: int) -> tuple[int, int]:
        """(height, width) of an image in pixels, as transformers resizes it.

        Raises:
            ValueError: It is more than 200 times as long as wide.
        """
        if max(width, height) > 200 * min(width, height):
            raise ValueError("it is more than 200 times as long as wide")
        side = patch_size * self.merge
        high, wide = (round(one / side) * side for one in (height, width))
        if high * wide > self.most_pixels:
            scale = math.sqrt(height * width / self.most_pixels)
            high, wide = (max(side, math.floor(one / scale / side) * side) for one in (height, width))
        elif high * wide < self.least_pixels:
            scale = math.sqrt(self.least_pixels / (height * width))
            high, wide = (math.ceil(one * scale / side) * side for one in (height, width))
        return high, wide

    def shape(self, width: int, height: int, patch_size: int) -> ImageShape:
        """An image by its sides in pixels.

        Raises:
            ValueError: It is more than 200 times as long as wide.
        """
        high, wide = self.resized(width, height, patch_size)
        tokens = high * wide // (patch_size * self.merge) ** 2
        return ImageShape(height=high, width=wide, squares=0, tokens=tokens)


class TileSizes(Document):
    """How an image becomes tiles as large as the tower reads, beside the whole of it as one more."""

    tile: int
    """Width and height of a tile in pixels."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of all tiles together that an image may have; the one that loses least is taken."""

    @property
    def most(self) -> int:
        """Tiles of the largest size, with the whole image."""
        return max((height // self.tile) * (width // self.tile) for height, width in self.sizes) + 1

    def most_tokens(self, patch_size: int) -> int:
        """Tokens of an image that no border is cut off from, by the side of a patch in pixels."""
        side = self.tile // patch_size
        whole = ((height // self.tile * side, width // self.tile * side) for height, width in self.sizes)
        return max(height * width + height for height, width in whole) + side**2

    def shape(self, width: int, height: int, patch_size: int) -> ImageShape:
        """An image by its sides in pixels: its tokens are of the whole, and rows of tiles without borders, each with an
        end.
        """
        high, wide = self._best(width, height)
        side, squares = self.tile // patch_size, (high // self.tile) * (wide // self.tile) + 1
        rows, columns = high // self.tile * side, wide // self.tile * side
        if width / height > columns / rows:
            rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
        else:
            columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
        tokens = rows * columns + rows + side**2
        return ImageShape(height=height, width=width, squares=squares, tokens=tokens)

    def _best(self, width: int, height: int) -> tuple[int, int]:
        """The size in which most pixels of an image are kept, and of these the one that wastes least."""

        def kept(size: tuple[int, int]) -> tuple[int, int]:
            scale = min(size[1] / width, size[0] / height)
            effective = min(int(width * scale) * int(height * scale), width * height)
            return effective, effective - size[0] * size[1]

        return max(self.sizes, key=kept)


class VisionFacts(Document):
    """What reads images in a model that does, as its config.json describes it."""

    model_type: str
    """`model_type` in config.json, such as `llava`; that of `ModelFacts` is its language model's."""
    image_token_id: int
    """Token that stands in a row for each feature of an image."""
    image_size: int
    """Width and height, in pixels, that the tower reads; 0 where an image keeps its shape."""
    patch_size: int
    """Width and height of a patch in pixels."""
    tokens_per_image: int
    """Tokens of an image in a row; at the most, where it keeps its shape."""
    grid: PatchGrid | None = None
    """How it becomes patches where it keeps its shape; None elsewhere."""
    tiles: TileSizes | None = None
    """How it becomes tiles, where the tower reads it in several; None elsewhere."""
    hidden_size: int
    """Width of the tower."""
    intermediate_size: int
    """Width of its feed-forward part."""
    num_layers: int
    """Its layers."""
    config: dict[str, Any] = Field(default={})
    """What the whole config.json says about the model's form; the memory trace builds by it."""

    pixels_sha256: str | None = None
    """Digest of what the model's processor makes of the first images; None where it wasn't asked."""
    pixels_problem: str = ""
    """Why it wasn't asked."""

    def shape(self, width: int, height: int) -> ImageShape:
        """An image as the model reads it, by its sides in pixels.

        Raises:
            ValueError: The model's processor takes none of that shape.
        """
        if (shapes := self.grid or self.tiles) is not None:
            return shapes.shape(width, height, self.patch_size)
        side = self.image_size
        return ImageShape(height=side, width=side, squares=1, tokens=self.tokens_per_image)

    @property
    def parts(self) -> tuple[str, ...]:
        """Modules beside the language model, by name."""
        known = vision_model(self.model_type)
        return known.parts if known else ()


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
    rope: RopeSettings | None = None
    """How the recipe scales its rotation; `max_positions` says how long sequences are then."""
    license: str | None
    """SPDX-like id in lower case from the model card or a license file; None when none is stated."""
    tokenizer: TokenizerFacts

    @property
    def kind(self) -> Architecture:
        """What ftc knows of models of this type."""
        return architecture(self.model_type)

    @property
    def num_parameters(self) -> int:
        """Stored parameters, a shared tensor counted once."""
        return sum(tensor.num_elements for tensor in self.tensors.values())

    @cached_property
    def experts(self) -> Experts | None:
        """Its experts, where layers are a mixture of them."""
        return experts_of(self.kind.experts, self.config, self.tensors)

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
    """The processor's memory beside a card that is in this machine; None for a CPU, and where it isn't known."""
    speed: Speed | None = None
    """What it reaches at best by its data sheet; None for a CPU, which has none, and for cards nobody described."""


class PackageFacts(Document):
    """One installed distribution."""

    version: str
    sha256: str
    """Digest over the installed files' own digests (RECORD), without what an installer adds of its own."""
    code_sha256: str | None = None
    """Digest over the Python and native files that an import would load, as they are; None and absent from documents
    where nobody took it: of packages that decide no numbers, and in locks and records of earlier releases."""

    @model_serializer(mode="wrap")
    def _without_unknown(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}

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
