"""Servers that write answers: what each is told and asked, by its own protocol. No torch is imported here."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["AnswerServer", "Said", "UnusableAnswer", "Wanted"]


class Wanted(NamedTuple):
    """How answers to a prompt are to be written.

    Attributes:
        seeds: One for each answer.
        max_new_tokens: Tokens of the longest.
        temperature: Divides the logits.
        top_k: Tokens among which each token is drawn; 0 for all.
        stops: Tokens that end an answer, each of which stays its last one.
    """

    seeds: tuple[int, ...]
    max_new_tokens: int
    temperature: float
    top_k: int
    stops: tuple[int, ...]


class Said(NamedTuple):
    """One answer as a server gives it.

    Attributes:
        ids: Its tokens, with the one that ended it.
        log_probs: Log-probability of each, by the distribution that it was drawn from.
        weights: Which weights wrote it, in the server's words.
        is_cut: Whether the server says that the longest length ended it.
    """

    ids: list[int]
    log_probs: list[float]
    weights: str
    is_cut: bool


class UnusableAnswer(Exception):
    """What a server gave is no answer by its protocol.

    Attributes:
        reason: Why, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AnswerServer(Protocol):
    """A server. Each method raises `EndpointFault` where it doesn't answer."""

    def bring(self, name: str, folder: str) -> None:
        """Has it load weights under a name, unless it has them; it says so afterwards.

        Args:
            name: Digest of the weights.
            folder: Where they are, on the server's machine.

        Raises:
            UnusableAnswer: It doesn't have them under that name.
        """
        ...

    def drop(self, name: str) -> None:
        """Has it forget such weights; nothing where it has forgotten them."""
        ...

    def ask(self, name: str, prompt: list[int], wanted: Wanted) -> list[Said]:
        """Answers to a prompt by weights of a name.

        Raises:
            UnusableAnswer: It gave none by its protocol.
        """
        ...
