"""A process that serves a tiny model by vLLM's and SGLang's protocols, with transformers and peft.

`python -m tests.support.answer_server MODEL PORT` answers at 127.0.0.1. `POST /fault` with `{"kind": …, "count": …}`
spoils that many of the next requests of its kind, and `POST /seen` gives what was asked so far.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

_LOCK = threading.Lock()


class Model:
    """The model with its adapters, or with other weights in its place."""

    def __init__(self, folder: str) -> None:
        self.base: Any = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.folders: dict[str, str] = {}
        self.adapted: dict[str, Any] = {}
        self.version = "default"
        self.faults: dict[str, int] = {}
        self.seen: list[str] = []
        self.raw = False

    def fault(self, kind: str) -> bool:
        """Whether this request is to be spoiled so."""
        left = self.faults.get(kind, 0)
        self.faults[kind] = max(0, left - 1)
        return left > 0

    def load(self, name: str, folder: str) -> None:
        """Takes an adapter."""
        self.adapted = {name: peft.PeftModel.from_pretrained(copy.deepcopy(self.base), folder).eval()}
        self.folders[name] = folder

    def replace(self, folder: str, version: str) -> None:
        """Takes other weights for the whole model."""
        self.base = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.version = version

    @torch.no_grad()
    def answer(
        self, name: str | None, prompt: list[int], seed: int, most: int, heat: float, top: int, stops: list[int]
    ) -> tuple[list[int], list[float]]:
        """Tokens and their log-probabilities."""
        model = self.base if name is None else self.adapted[name]
        chance, ids, found = torch.Generator().manual_seed(seed), list(prompt), list[float]()
        while len(found) < most and (not found or ids[-1] not in stops):
            scores = model(input_ids=torch.tensor([ids])).logits[0, -1].float() / heat
            if top:
                scores = scores.masked_fill(scores < scores.topk(top).values[-1], -torch.inf)
            spread = scores.log_softmax(-1)
            token = int(torch.multinomial(spread.exp(), 1, generator=chance))
            spread = (scores * heat).log_softmax(-1) if self.raw else spread  # vLLM's, unless told otherwise
            ids.append(token)
            found.append(float(spread[token]))
        return ids[len(prompt) :], found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    model: Model

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _reply(self, value: Any, status: int = 200) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def parse_request(self) -> bool:
        """Whether a request may go on: with the key, where the server was started with one, as vLLM's."""
        if not super().parse_request():
            return False
        key = os.environ.get("VLLM_API_KEY")
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return True
        self._reply({"error": "Unauthorized"}, 401)
        return False

    def do_GET(self) -> None:
        """What it has."""
        if self.path == "/v1/models":
            self._reply({"data": [{"id": one} for one in ("base", *self.model.folders)]})
        elif self.path == "/model_info":
            self._reply({"weight_version": self.model.version})
        else:
            self._reply({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        """One of the paths that a run calls."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = self.model
        with _LOCK:
            match self.path:
                case "/fault":
                    model.faults[asked["kind"]] = asked["count"]
                    self._reply({})
                    return
                case "/seen":
                    self._reply(model.seen)
                    return
                case _:
                    model.seen.append(self.path)
            if model.fault("die"):
                os._exit(9)
            if model.fault("busy"):
                self._reply({"error": {"message": "out of blocks"}}, 503)
                return
            if model.fault("forget"):
                model.folders.clear()
            getattr(self, f"_{self.path.rpartition('/')[2]}", self._missing)(asked)

    def _missing(self, _asked: Any) -> None:
        self._reply({"detail": "Not Found"}, 404)

    def _load_lora_adapter(self, asked: dict[str, Any]) -> None:
        if self.model.fault("locked"):
            self._reply({"detail": "Not Found"}, 404)
            return
        if not (Path(asked["lora_path"]) / "adapter_model.safetensors").is_file():
            message = f"No adapter found for {asked['lora_path']}"
            self._reply({"error": {"message": message}}, 400)
            return
        self.model.load(asked["lora_name"], asked["lora_path"])
        said = f"Success: LoRA adapter '{asked['lora_name']}' added successfully."
        self._reply(said if self.path.startswith("/v1") else {"success": True, "loaded_adapters": self.model.folders})

    def _unload_lora_adapter(self, asked: dict[str, Any]) -> None:
        self.model.folders.pop(asked["lora_name"], None)
        self._reply("Success" if self.path.startswith("/v1") else {"success": True, "loaded_adapters": {}})

    def _update_weights_from_disk(self, asked: dict[str, Any]) -> None:
        self.model.replace(asked["model_path"], asked["weight_version"])
        self._reply({"success": True, "message": "Succeeded to update model weights."})

    def _completions(self, asked: dict[str, Any]) -> None:
        name = asked["model"]
        if name not in self.model.folders:
            self._reply({"error": {"message": f"The model `{name}` does not exist."}}, 404)
            return
        choices = []
        for number in range(asked["n"]):
            ids, values = self.model.answer(
                name,
                asked["prompt"],
                asked["seed"] + number,
                asked["max_tokens"],
                asked["temperature"],
                asked["top_k"],
                asked["stop_token_ids"],
            )
            choices.append(self._choice(number, asked, ids, values))
        self._reply({"model": "base" if self.model.fault("other name") else name, "choices": choices})

    def _choice(self, number: int, asked: dict[str, Any], ids: list[int], values: list[float]) -> dict[str, Any]:
        if self.model.fault("cut"):
            ids, values = ids[:1], values[:1]
        if self.model.fault("no probabilities"):
            values = []
        return {
            "index": number,
            "prompt_token_ids": asked["prompt"],
            "token_ids": ids,
            "logprobs": {"token_logprobs": values},
            "finish_reason": "stop" if ids[-1] in asked["stop_token_ids"] else "length",
        }

    def _generate(self, asked: dict[str, Any]) -> None:
        answers = []
        for number, (prompt, how) in enumerate(zip(asked["input_ids"], asked["sampling_params"], strict=True)):
            name = asked["lora_path"][number] if "lora_path" in asked else None
            if name is not None and name not in self.model.folders:
                self._reply({"error": {"message": f"LoRA adapter {name} is not loaded"}}, 400)
                return
            top = max(0, how["top_k"])
            most, heat, stops = how["max_new_tokens"], how["temperature"], how["stop_token_ids"]
            ids, values = self.model.answer(name, prompt, how["sampling_seed"], most, heat, top, stops)
            about = {
                "prompt_tokens": len(prompt),
                "output_token_logprobs": [[value, token, None] for value, token in zip(values, ids, strict=True)],
                "finish_reason": {"type": "stop" if ids[-1] in stops else "length"},
                "weight_version": self.model.version,
            }
            answers.append({"text": "", "meta_info": about})
        self._reply(answers)


def served(folder: str, port: int = 0) -> tuple[ThreadingHTTPServer, Model]:
    """A server of a model, which is not begun yet."""
    model = Model(folder)
    return ThreadingHTTPServer(("127.0.0.1", port), type("Own", (Handler,), {"model": model})), model


def main() -> None:
    """Serves until it is ended."""
    torch.set_num_threads(1)
    server, _ = served(sys.argv[1], int(sys.argv[2]))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
