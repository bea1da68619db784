"""What writes the answers that reinforcement trains on: one card each, with every fact about it.

To add a server, write its card here and its protocol into `ftc.runtime.writers`. Rules, passes, importers and docs ask
the cards; no other file names a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from ftc.spec.precisions import TypeName
from ftc.spec.quantized_files import QuantizedMethod

__all__ = ["WRITERS", "OwnServer", "WriterCard", "WriterKind", "writer_card"]


class OwnServer(NamedTuple):
    """How a run starts a server itself, beside the training on its GPU.

    Attributes:
        program: What is started, as it stands on the PATH.
        words: Its arguments, with `{base}`, `{port}`, `{rank}`, `{dtype}`, `{longest}` (tokens of the longest prompt
            with its answer) and `{share}` (of the device's memory, which the server never exceeds).
        environment: Variables that it needs.
        key_variable: Variable by which it learns the key that it asks everybody for.
        ready: Path that gives JSON once it serves.
        products: Types in which it multiplies weights of quantized files, by each method that ftc loads.
    """

    program: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    key_variable: str
    ready: str
    products: Mapping[QuantizedMethod, tuple[TypeName, ...]]


class WriterCard(NamedTuple):
    """One way to have answers written.

    Attributes:
        kind: What a recipe calls it.
        label: What people call it.
        address: Where its server is, unless `ftc.launch.yaml` says otherwise; None where the run itself writes.
        takes_whole: Whether a running server takes a whole model's weights, and not only an adapter's.
        start: How people start the server for an adapter; empty where the run itself writes.
        start_whole: The same for a whole model; empty where it takes none.
        foreign: What other tools call it in their keys, such as TRL's `use_vllm`.
        own: How a run starts one itself; None where none can be kept within a share of the GPU's memory.
        ranks: Largest ranks of adapters that it can be started for, ascending; empty for any.
    """

    kind: str
    label: str
    address: str | None
    takes_whole: bool
    start: str
    start_whole: str
    foreign: tuple[str, ...]
    own: OwnServer | None = None
    ranks: tuple[int, ...] = ()

    def rank_for(self, rank: int) -> int:
        """The rank that the server is started for, so that it takes adapters of `rank`."""
        return next((one for one in self.ranks if one >= rank), rank)

    @property
    def is_server(self) -> bool:
        """Whether a server writes, whose memory, time and bits are none of the run's."""
        return self.address is not None


WRITERS: tuple[WriterCard, ...] = (
    WriterCard(
        kind="transformers",
        label="transformers",
        address=None,
        takes_whole=True,
        start="",
        start_whole="",
        foreign=("transformers", "hf"),
    ),
    WriterCard(
        kind="vllm",
        label="vLLM",
        address="http://127.0.0.1:8000",
        takes_whole=False,
        start="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve BASE --enable-lora --max-lora-rank RANK "
        "--logprobs-mode processed_logprobs",
        start_whole="",
        foreign=("vllm", "VLLM"),
        own=OwnServer(
            program="vllm",
            words=(
                *("serve", "{base}", "--host", "127.0.0.1", "--port", "{port}", "--dtype", "{dtype}"),
                *("--gpu-memory-utilization", "{share}", "--max-model-len", "{longest}"),
                *("--enable-lora", "--max-lora-rank", "{rank}", "--logprobs-mode", "processed_logprobs"),
            ),
            environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"},
            key_variable="VLLM_API_KEY",
            ready="/v1/models",
            products={
                "fp8": ("bfloat16", "float16"),
                "mxfp4": ("bfloat16",),
                "compressed-tensors": ("bfloat16", "float16"),
                "gptq": ("bfloat16", "float16"),
                "awq": ("bfloat16", "float16"),
            },
        ),
        ranks=(1, 8, 16, 32, 64, 128, 256, 320, 512),
    ),
    WriterCard(
        kind="sglang",
        label="SGLang",
        address="http://127.0.0.1:30000",
        takes_whole=True,
        start="python -m sglang.launch_server --model-path BASE --enable-lora --max-lora-rank RANK "
        "--lora-target-modules all",
        start_whole="python -m sglang.launch_server --model-path BASE",
        foreign=("sglang", "SGLANG"),
    ),
)
"""Every writer, in the order in which a recipe's kinds are listed."""

_BY_KIND = {card.kind: card for card in WRITERS}

if TYPE_CHECKING:
    WriterKind = str
else:
    WriterKind = Literal[tuple(_BY_KIND)]
"""What a recipe may write; the cards decide, so that mypy sees a text and pydantic the kinds."""


def writer_card(kind: str) -> WriterCard:
    """The card of a kind that a recipe or plan names."""
    return _BY_KIND[kind]
