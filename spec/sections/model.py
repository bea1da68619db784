"""Which model is fine-tuned, and the budget and device of the run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from ftc.spec.base import Bandwidth, Bytes, Document, Effect, MoneyText, Real, Seconds
from ftc.spec.documents.device import DeviceByHand

__all__ = [
    "MOST_FACTOR",
    "AttentionKernel",
    "Budget",
    "Device",
    "License",
    "Model",
    "PanAndScan",
    "Rope",
    "RopeKind",
    "SpecialTokens",
    "TokenPrice",
]

AttentionKernel = Literal["eager", "sdpa", "flash_attention_2"]
"""The plain formula, torch's fused kernels, or those of the package flash-attn."""


class License(Document):
    """Accepted licenses of the base model and of a teacher."""

    EFFECT: ClassVar[Effect] = Effect.COSMETIC

    allow: tuple[str, ...] = Field(min_length=1)
    """Accepted licenses by their hub id in lower case, such as `apache-2.0`. A model without a license is refused."""


_Token = Annotated[str, Field(min_length=1, max_length=200)]
_MOST_TOKENS = 10_000


class SpecialTokens(Document):
    """Tokens that end and pad texts, in place of the tokenizer's own."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    eos_token: _Token | None = None
    """Token that ends a text and an answer, such as `<|im_end|>`. One that the vocabulary lacks is added to it as a
    special token. Default: the tokenizer's own."""
    pad_token: _Token | None = None
    """Token that fills short rows, which masks leave out. One that the vocabulary lacks is added to it as a special
    token. Default: the tokenizer's own."""


RopeKind = Literal["linear", "dynamic", "yarn", "llama3"]
"""How a rotation is scaled: all frequencies by the same factor (Chen et al. 2023); by the length of the sequence at
hand (NTK); low frequencies alone (YaRN, Peng et al. 2023); or in three bands, as Llama 3.1 does."""
MOST_FACTOR = 1024
"""No published model has scaled rotary positions by as much."""


class Rope(Document):
    """Rotary positions for sequences that are longer than those of pretraining."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    kind: RopeKind
    """How frequencies are scaled: `yarn` keeps short texts closest to pretraining and needs fewest steps; `linear` is
    the oldest way; `dynamic` changes nothing up to the model's own positions; `llama3` is what Llama 3.1 has."""
    factor: Literal["auto"] | Annotated[Real, Field(gt=1, le=MOST_FACTOR)] = "auto"
    """Longest sequence by the model's own positions, such as 4 for 131,072 tokens with a model of 32,768. Default
    `auto`: the smallest whole number that `data.max_length` needs."""


class PanAndScan(Document):
    """Crops of an elongated image, which are read beside the whole of it."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    max_crops: int = Field(default=4, ge=2, le=16)
    """Crops of an image at most; each takes as many tokens as the whole. Default: 4, as Gemma 3 has it."""
    min_crop_size: int = Field(default=256, ge=16, le=8192)
    """Width and height of a crop at least; an image that is too small for two of them stays whole. Default: 256, as
    Gemma 3 has it."""
    min_ratio: Annotated[Real, Field(ge=1, le=100)] = 1.2
    """Longer side of an image by its shorter one from which on it is cut. Default: 1.2, as Gemma 3 has it."""


class Model(Document):
    """The base model."""

    EFFECT: ClassVar[Effect] = Effect.NUMERICS

    base: str = Field(min_length=1, max_length=300)
    """Folder relative to the recipe, or hub id such as `HuggingFaceTB/SmolLM2-135M-Instruct`. Models outside the
    project are named as they lie in a folder that the machine's owner allows: in the environment variable
    `FTC_MODEL_PATHS`, or as `model_paths` in `~/.config/ftc/config.toml`. The lock pins a folder's files by digest
    wherever it lies. `run:NAME` begins from a finished run of this project, named by its id or the beginning of that,
    its recipe's name, or its folder: a strategy of the same kind and shape continues the run's adapter; after full
    training, the run's model is the base. The lock pins the run's files by digest."""
    create_new_adapter: bool = False
    """Whether to train a new adapter on top of a run that left one, instead of continuing it. The base is then the
    run's merged model: run `ftc run merge` first. Default: no, which trains the run's adapter further."""
    revision: str | None = Field(default=None, min_length=1, max_length=200)
    """Branch, tag or commit on the hub. Default: the main branch; the lock pins its commit."""
    license: License | None = None
    """Accepted licenses, also of a teacher. Default: any, because the right license depends on the use; the plan shows
    it."""
    attention: Literal["auto"] | AttentionKernel = "auto"
    """Attention kernel. Default `auto`: sdpa, which works on every device without further packages; the plain formula
    for models whose class in transformers supports nothing else; flash attention if its package is installed and
    the run then fits or is faster."""
    add_tokens: tuple[_Token, ...] = Field(default=(), max_length=_MOST_TOKENS)
    """Words that are added to the vocabulary, such as `[<tool>, </tool>]`: each becomes one token. New rows of the
    embedding, and of an output layer of its own, are drawn around the mean of the old ones, as transformers does; the
    rows of added tokens are trained and saved, also beside LoRA. Default: the vocabulary stays as it is."""
    add_special_tokens: tuple[_Token, ...] = Field(default=(), max_length=_MOST_TOKENS)
    """The same for tokens that are no text of an answer, such as `[<|im_start|>]`: decoding leaves them out, and the
    tokenizer's normalizer doesn't change them. Default: the vocabulary stays as it is."""
    special_tokens: SpecialTokens | None = None
    """Tokens that end and pad texts. Default: the tokenizer's own."""
    chat_template: str | None = Field(default=None, min_length=1, max_length=4096)
    """Jinja file with the chat template, relative to the recipe, such as `chatml.jinja`. It is rendered in the same
    sandbox as a model's, pinned in the lock, and stored with the result's tokenizer. Default: the model's own."""

    rope: Rope | None = None
    """Scaling of rotary positions, such as `{kind: yarn, factor: 4}`: `data.max_length` can then go beyond positions
    of pretraining. Default: the model's own."""

    pan_and_scan: PanAndScan | None = None
    """Pan and scan of Gemma 3: an elongated image is read whole and in crops along its longer side, which shows small
    print and costs as many tokens again for each; `{}` takes the usual numbers. A result expects images of the same
    kind. Default: none, as in transformers."""

    @property
    def adds_tokens(self) -> bool:
        """Whether it names tokens that the vocabulary may lack."""
        return bool(self.add_tokens or self.add_special_tokens or self.special_tokens)

    @property
    def changes_tokenizer(self) -> bool:
        """Whether the tokenizer is another than the model's files have."""
        return self.adds_tokens or self.chat_template is not None


def _kind_of_device(value: object) -> str:
    return "by-hand" if isinstance(value, dict | DeviceByHand) else "by-name"


Device = Annotated[
    Annotated[Annotated[str, Field(min_length=1, max_length=60)], Tag("by-name")]
    | Annotated[DeviceByHand, Tag("by-hand")],
    Discriminator(_kind_of_device),
]
"""A device by its name, or a GPU described by its figures."""


class TokenPrice(Document):
    """Price per million tokens of a service."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE

    sent: MoneyText
    """Per million tokens sent, such as `0.15 USD`."""
    received: MoneyText
    """Per million tokens received, such as `0.60 USD`; in the same currency."""


class Budget(Document):
    """Budget of the run, and its device."""

    EFFECT: ClassVar[Effect] = Effect.RESOURCE
    EFFECTS: ClassVar[dict[str, Effect]] = {
        "device": Effect.NUMERICS,
        "devices": Effect.NUMERICS,
        "nodes": Effect.NUMERICS,
        "threads": Effect.NUMERICS,
    }

    device: Device = "auto"
    """`cpu`, or a GPU by its name such as `rtx-4090` (`ftc device list` lists them), in this machine or not; describe a
    GPU that is not in the list by its figures. Default `auto`: this machine's GPU, otherwise its CPU."""
    devices: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = 1
    """Number of devices of this kind in one machine, with one process each, which share the rows of every step;
    `train.sharding` says what each of them holds. Another number changes dropout and the order of sums. `auto`: the
    fastest number of this machine's devices that fits and, if there is a price, stays within `cost`; of equals the
    smallest. Processes on a CPU share it, which counts as one. Default: 1, which needs no communication and is the
    same on every machine."""
    nodes: Annotated[int, Field(ge=1, le=256)] = 1
    """Number of machines, with `devices` devices each, whose processes share the rows of every step. A launcher starts
    them: `ftc launch`, torchrun or `srun`. Another number changes dropout and the order of sums. Default: 1,
    because one machine needs no launcher."""
    link: Annotated[Bandwidth, Field(gt=0)] | None = None
    """Speed of the network between the machines, one way for each machine, such as `400 Gbit/s`. The time over several
    machines is estimated with it. Default: unknown, so the time of a run on several machines is not estimated."""
    vram: Annotated[Bytes, Field(gt=0)] | None = None
    """Memory that the run may use on each device, such as `24GiB`. Default: the device's memory."""
    allow_tight: bool = False
    """Run even if only the expected figure of the memory estimate is within the limit and its high end is not: the run
    may go out of memory at its peak. Default: no, because that can happen after hours."""
    time: Annotated[Seconds, Field(gt=0)] | None = None
    """Maximum duration of the run, such as `2h`. Default: no limit, because `train.epochs` limits the work."""
    price_per_hour: MoneyText | None = None
    """Price of one device per hour, such as `0.40 USD`; a CPU counts as one device for all its processes. Default:
    unknown, so no cost is shown."""
    price_per_million_tokens: TokenPrice | None = None
    """Price of the judge's service, in `eval.judge` or in a reward, such as `{sent: 0.15 USD, received: 0.60 USD}`;
    part of the run's cost. Default: unknown, so the cost excludes the judge."""
    cost: MoneyText | None = None
    """Maximum cost of the run, such as `5 USD`; needs `price_per_hour`. Default: no limit, because without a price
    there is no cost."""
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    """CPU threads. Another number can change the last bits of a result. Default `auto`: the physical
    cores, as far as affinity and a container's quota allow, whatever `OMP_NUM_THREADS` says."""
