"""vLLM's server: adapters by `/v1/load_lora_adapter`, answers by OpenAI's `/v1/completions` with token ids.

An adapter is a model of its own there, and every answer says by its `model` which one wrote it. Adapters that arrive at
a running server need `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1` where it is started.
"""

from __future__ import annotations

from typing import Any

from ftc.runtime.evaluation.endpoint import Endpoint, EndpointFault
from ftc.runtime.writers import Said, UnusableAnswer, Wanted

__all__ = ["VllmServer"]

_SEEDS = 2**31


class VllmServer:
    """A running `vllm serve`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def bring(self, name: str, folder: str) -> None:
        """Loads an adapter; see `AnswerServer`."""
        if name not in self._names():
            self._endpoint.send("/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
            if name not in self._names():
                raise UnusableAnswer("the server does not list the adapter that it was asked to load")

    def drop(self, name: str) -> None:
        """Forgets an adapter."""
        if name in self._names():
            self._endpoint.send("/v1/unload_lora_adapter", {"lora_name": name})

    def ask(self, name: str, prompt: list[int], wanted: Wanted) -> list[Said]:
        """Answers; the server gives the first answer the seed that it is sent, and each further one the next number."""
        reply = self._endpoint.post(
            "/v1/completions",
            {
                "model": name,
                "prompt": prompt,
                "n": len(wanted.seeds),
                "seed": wanted.seeds[0] % _SEEDS,
                "max_tokens": wanted.max_new_tokens,
                "temperature": wanted.temperature,
                "top_k": wanted.top_k,
                "logprobs": 0,  # of the token that was drawn alone
                "return_token_ids": True,
                "skip_special_tokens": False,
                "stop_token_ids": list(wanted.stops),
                # Defaults of the model's own generation config would hold else.
                **{"top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": True},
            },
        )
        try:
            choices = sorted(reply["choices"], key=lambda one: int(one["index"]))
            if any(one["prompt_token_ids"] != prompt for one in choices):
                raise UnusableAnswer("the server answers another prompt than it was sent")
            return [_said(one, str(reply["model"])) for one in choices]
        except (KeyError, TypeError, ValueError) as problem:
            raise UnusableAnswer(f"the server's answer is no completion with token ids: {problem!r}") from None

    def _names(self) -> set[str]:
        """What it has: the base, and each adapter."""
        try:
            return {str(one["id"]) for one in self._endpoint.get("/v1/models")["data"]}
        except (KeyError, TypeError):
            raise EndpointFault("the server does not list its models") from None


def _said(choice: dict[str, Any], model: str) -> Said:
    ids, log_probs = map(int, choice["token_ids"]), map(float, choice["logprobs"]["token_logprobs"])
    return Said([*ids], [*log_probs], model, choice["finish_reason"] == "length")
