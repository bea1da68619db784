"""SGLang's server: adapters by `/load_lora_adapter`, whole models by `/update_weights_from_disk`, answers by
`/generate`.

Answers of whole models say which weights wrote them by `weight_version`. Those of an adapter don't, so that the server
is asked for the adapters that it has when one is loaded, and refuses a request for any other.
"""

from __future__ import annotations

from typing import Any

from ftc.runtime.evaluation.endpoint import Endpoint, EndpointFault
from ftc.runtime.writers import Said, UnusableAnswer, Wanted

__all__ = ["SglangServer"]

_SEEDS = 2**31


class SglangServer:
    """A running `sglang.launch_server`.

    Args:
        endpoint: Where it is.
        whole: Whether it gets whole models, and not adapters.
    """

    def __init__(self, endpoint: Endpoint, *, whole: bool) -> None:
        self._endpoint, self._whole = endpoint, whole
        self._loaded: set[str] = set()

    def bring(self, name: str, folder: str) -> None:
        """Loads an adapter, or a whole model in the place of the one that it has; see `AnswerServer`."""
        if self._whole:
            if self._version() != name:
                body = {"model_path": folder, "weight_version": name, "flush_cache": True}
                self._done(self._endpoint.post("/update_weights_from_disk", body))
            if self._version() != name:
                raise UnusableAnswer("the server does not have the weights that it was asked to load")
            return
        if name in self._loaded:
            return
        try:
            reply = self._done(self._endpoint.post("/load_lora_adapter", {"lora_name": name, "lora_path": folder}))
        except EndpointFault as fault:
            if "already loaded" not in fault.said:  # by this run, before it was interrupted
                raise
            self._loaded.add(name)
            return
        if name not in (reply.get("loaded_adapters") or {}):
            raise UnusableAnswer("the server does not list the adapter that it was asked to load")
        self._loaded.add(name)

    def drop(self, name: str) -> None:
        """Forgets an adapter; of a whole model there is always one."""
        if name in self._loaded:
            self._loaded.discard(name)
            self._done(self._endpoint.post("/unload_lora_adapter", {"lora_name": name}))

    def ask(self, name: str, prompt: list[int], wanted: Wanted) -> list[Said]:
        """Answers, each a request of its own inside of one: they share the prompt's cache, and not the seed."""
        shared = {
            "max_new_tokens": wanted.max_new_tokens,
            "temperature": wanted.temperature,
            "top_k": wanted.top_k or -1,
            "stop_token_ids": list(wanted.stops),
            **{"top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": True},
        }
        count = len(wanted.seeds)
        body: dict[str, Any] = {
            "input_ids": [prompt] * count,
            "sampling_params": [{**shared, "sampling_seed": seed % _SEEDS} for seed in wanted.seeds],
            "return_logprob": True,
            "stream": False,
        }
        try:
            reply = self._endpoint.post("/generate", body if self._whole else {**body, "lora_path": [name] * count})
        except EndpointFault as fault:
            if "loaded" not in fault.said:
                raise
            self._loaded.discard(name)  # the server was started again and has forgotten the adapter
            raise EndpointFault(fault.reason, 404, fault.said) from None
        try:
            return [self._said(one, name, len(prompt)) for one in reply]
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            raise UnusableAnswer(f"the server's answer is none of `/generate`: {problem!r}") from None

    def _said(self, one: dict[str, Any], name: str, prompt: int) -> Said:
        about = one["meta_info"]
        if about["prompt_tokens"] != prompt:
            raise UnusableAnswer("the server answers another prompt than it was sent")
        pairs = about["output_token_logprobs"]
        weights = str(about["weight_version"]) if self._whole else name
        is_cut = about["finish_reason"]["type"] == "length"
        return Said([int(one[1]) for one in pairs], [float(one[0]) for one in pairs], weights, is_cut)

    def _version(self) -> str:
        try:
            return str(self._endpoint.get("/model_info")["weight_version"])
        except (KeyError, TypeError):
            raise EndpointFault("the server does not say which weights it has") from None

    @staticmethod
    def _done(reply: Any) -> dict[str, Any]:
        if not isinstance(reply, dict) or not reply.get("success"):
            said = str((reply or {}).get("error_message") or (reply or {}).get("message") or "") if reply else ""
            raise UnusableAnswer(f"the server did not do what it was asked for{': ' + said[:200] if said else ''}")
        return reply
