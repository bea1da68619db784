"""How several devices share a run: one card each, with every fact about it. The torch half is
`ftc.runtime.models.sharding`.

To add one, write its card here; settings, rules, memory and time estimates, solver, suggestions, run, views, importers
and docs ask it. What a card divides it divides in all three forms: each trained weight, its gradient and its optimizer
state, and each frozen weight too. Which strategies and optimizers can be divided is a fact of their own cards
(`no_sharding`, `whole_tensors`); every precision can. Processes that divide a model each write their part of a
checkpoint, and whoever continues it reads its own rows of whatever parts there are, so that a run may continue under
another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

__all__ = [
    "SHARDINGS",
    "UNDIVIDED",
    "AskedSharding",
    "Exchange",
    "Group",
    "Offload",
    "Sharding",
    "ShardingCard",
    "group_size",
    "sharding_card",
]

Offload = Literal["none", "cpu"]
"""Where shards of weights, gradients and optimizer state are kept between uses: on the device, or in host RAM."""

Group = Literal["run", "machine", "machines"]
"""Which processes exchange something with each other: all of the run, those of one machine, or those that have the same
place in each machine."""


class Exchange(NamedTuple):
    """Something that the devices of a run exchange again and again.

    Attributes:
        operation: As torch calls it. In an all-reduce each device sends everything twice, in the others once.
        content: What is exchanged: the model's weights in the type of its products, or gradients of what is trained.
        group: Which processes take part.
        every: How often.
        times: How many of them each time.
    """

    operation: Literal["all-gather", "reduce-scatter", "all-reduce"]
    content: Literal["weights", "gradients"]
    group: Group
    every: Literal["step", "micro-batch"]
    times: int

    @property
    def sent(self) -> int:
        """How often a device sends all of the content each time, but for its own share."""
        return self.times * (2 if self.operation == "all-reduce" else 1)


class ShardingCard(NamedTuple):
    """One way to share a run.

    Attributes:
        kind: What a recipe and a plan call it.
        label: What people call it.
        divided_among: Which processes divide the model, its gradients and its optimizer state among them; None where
            each process holds all of it.
        buckets: Whether gradients have a second copy on the device, from which they are exchanged.
        exchanges: What devices exchange in training; empty where there is one device.
        places: Where parts may be kept between uses, the fastest first.
    """

    kind: str
    label: str
    divided_among: Group | None
    buckets: bool
    exchanges: tuple[Exchange, ...]
    places: tuple[Offload, ...]

    @property
    def is_divided(self) -> bool:
        """Whether a process holds a part of each weight; it then needs others for each pass."""
        return self.divided_among is not None

    def lacks_partners(self, world_size: int, nodes: int) -> Group | None:
        """A group of its exchanges that would be one process alone; None where each has several.

        Args:
            world_size: Processes of the run.
            nodes: Machines that they run on.
        """
        groups: list[Group] = [one.group for one in self.exchanges]
        return next((group for group in groups if group_size(group, world_size, nodes) == 1), None)

    def communicators(self, world_size: int, nodes: int, tensor_parallel: int = 1) -> int:
        """How many groups of several processes a process is in: all of the run, those of its exchanges, and a layer's.

        Where processes divide each layer, exchanges are between their groups: a machine that has one of these exchanges
        nothing inside, and those of the whole run have communicators of their own.

        Args:
            world_size: Processes of the run.
            nodes: Machines that they run on.
            tensor_parallel: How many processes divide each layer; 1 where each computes whole ones.
        """
        groups: set[Group] = {one.group for one in self.exchanges if one.group != "run" or tensor_parallel > 1}
        exchanging = sum(group_size(group, world_size // tensor_parallel, nodes) > 1 for group in groups)
        return (world_size > 1) + exchanging + (tensor_parallel > 1)

    def least_devices(self, nodes: int) -> int:
        """How many devices each of so many machines has to have at least; see `lacks_partners` for too few machines."""
        return 1 if self.lacks_partners(nodes, nodes) is None else 2

    def parts(self, world_size: int, nodes: int) -> int:
        """Into how many parts each tensor is divided.

        Args:
            world_size: Processes of the run.
            nodes: Machines that they run on.
        """
        return group_size(self.divided_among, world_size, nodes) if self.divided_among else 1


def group_size(group: Group, world_size: int, nodes: int) -> int:
    """How many processes a group has; for the arguments see `ShardingCard.parts`."""
    sizes: dict[Group, int] = {"run": world_size, "machine": world_size // nodes, "machines": nodes}
    return sizes[group]


SHARDINGS: tuple[ShardingCard, ...] = (
    ShardingCard(kind="none", label="one device", divided_among=None, buckets=False, exchanges=(), places=("none",)),
    ShardingCard(
        kind="ddp",
        label="DDP",
        divided_among=None,
        buckets=True,
        exchanges=(Exchange(operation="all-reduce", content="gradients", group="run", every="step", times=1),),
        places=("none",),
    ),
    ShardingCard(
        kind="hsdp",
        label="HSDP",
        divided_among="machine",
        buckets=False,
        exchanges=(
            Exchange(operation="all-gather", content="weights", group="machine", every="micro-batch", times=2),
            Exchange(operation="reduce-scatter", content="gradients", group="machine", every="micro-batch", times=1),
            Exchange(operation="all-reduce", content="gradients", group="machines", every="step", times=1),
        ),
        places=("none", "cpu"),
    ),
    ShardingCard(
        kind="fsdp",
        label="FSDP",
        divided_among="run",
        buckets=False,
        exchanges=(
            # for the forward and for the backward pass
            Exchange(operation="all-gather", content="weights", group="run", every="micro-batch", times=2),
            Exchange(operation="reduce-scatter", content="gradients", group="run", every="micro-batch", times=1),
        ),
        places=("none", "cpu"),
    ),
)
"""Every sharding. What exchanges least over the slowest link comes first, and what holds least on a device last."""

_BY_KIND = {card.kind: card for card in SHARDINGS}

if TYPE_CHECKING:
    Sharding = str
    AskedSharding = str
else:
    Sharding = Literal[tuple(_BY_KIND)]
    AskedSharding = Literal[("auto", *(card.kind for card in SHARDINGS if card.exchanges))]
"""What plans and recipes may write; the cards decide, so that mypy sees a text and pydantic the names."""

UNDIVIDED = next(card for card in SHARDINGS if card.exchanges and not card.is_divided)
"""What goes with every strategy and every optimizer."""


def sharding_card(kind: str) -> ShardingCard:
    """The card of a kind that a plan names."""
    return _BY_KIND[kind]
