"""Other tools, each in an environment of its own, with a configuration that trains one adapter on the same rows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PEERS", "Peer", "install", "quiet_environment", "version_of", "write_rows"]

OVERRIDES = "torch\ntorchvision; sys_platform == 'none'\ntorchaudio; sys_platform == 'none'\n"
"""What replaces the tools' own pins: one torch for all, and nothing for images and sound, whose releases fit one torch
alone. Text needs neither, and a tool without them starts faster."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool that trains adapters from a configuration file.

    Attributes:
        name: Of the tool, its requirement and its environment's folder.
        command: What trains, without the interpreter's folder; the configuration's path comes last.
        config: The configuration, with `{model}` and `{data}` for folders.
        imports_torchaudio: Whether it can't start without torchaudio, whatever it trains.
    """

    name: str
    command: Sequence[str]
    config: str
    imports_torchaudio: bool = False


PEERS = (
    Peer(
        "trl",
        ("trl", "sft", "--config"),
        """
model_name_or_path: {model}
dataset_name: {data}
use_peft: true
lora_r: 8
lora_target_modules: [q_proj, v_proj]
max_length: 256
per_device_train_batch_size: 4
learning_rate: 1.0e-4
max_steps: 1
report_to: none
use_cpu: true
output_dir: {data}/out
""",
    ),
    Peer(
        "llamafactory",
        ("llamafactory-cli", "train"),
        """
model_name_or_path: {model}
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: q_proj,v_proj
dataset: rows
dataset_dir: {data}
template: chatml
cutoff_len: 256
per_device_train_batch_size: 4
learning_rate: 1.0e-4
max_steps: 1
report_to: none
output_dir: {data}/out
""",
        imports_torchaudio=True,
    ),
    Peer(
        "axolotl",
        ("axolotl", "train"),
        """
base_model: {model}
datasets:
  - path: {data}/rows.jsonl
    ds_type: json
    type: chat_template
    field_messages: messages
chat_template: tokenizer_default
dataset_prepared_path: {data}/prepared
val_set_size: 0
adapter: lora
lora_r: 8
lora_alpha: 16
lora_target_modules: [q_proj, v_proj]
sequence_len: 256
micro_batch_size: 4
gradient_accumulation_steps: 1
max_steps: 1
num_epochs: 1
optimizer: adamw_torch
learning_rate: 1.0e-4
bf16: false
output_dir: {data}/out
""",
    ),
    Peer(
        "oumi",
        ("oumi", "train", "-c"),
        """
model:
  model_name: {model}
  model_max_length: 256
  torch_dtype_str: float32
  device_map: cpu
data:
  train:
    datasets:
      - dataset_name: text_sft
        dataset_path: {data}/rows.jsonl
training:
  trainer_type: TRL_SFT
  use_peft: true
  per_device_train_batch_size: 4
  max_steps: 1
  learning_rate: 1.0e-4
  output_dir: {data}/out
peft:
  lora_r: 8
  lora_target_modules: [q_proj, v_proj]
""",
    ),
)
"""The tools that install beside Python 3.11 and can be started without a card."""


def install(peer: Peer, folder: Path) -> Path:
    """Makes the tool's environment below a folder where there is none yet, and gives its folder of programs.

    Raises:
        RuntimeError: `uv` is not installed, without which a tool's pins can't be overridden.
        subprocess.CalledProcessError: Something can't be installed.
    """
    home = folder / peer.name
    programs = home / "bin"
    if (home / "installed").exists():
        return programs
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("`pip install uv` first")
    home.mkdir(parents=True, exist_ok=True)
    overrides = folder / "overrides.txt"
    overrides.write_text(OVERRIDES, encoding="utf-8")
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "-p", sys.executable, home], check=True)
    subprocess.run(
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "-p",
            programs / "python",
            "--override",
            overrides,
            "--compile-bytecode",
            peer.name,
        ],
        check=True,
    )
    if peer.imports_torchaudio:
        _stand_in_for_torchaudio(programs / "python")
    (home / "installed").touch()
    return programs


def _stand_in_for_torchaudio(python: Path) -> None:
    """Puts an empty module in its place, which can only make a tool faster."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    (packages / "torchaudio").mkdir(exist_ok=True)
    (packages / "torchaudio" / "__init__.py").touch()


def version_of(peer: Peer, programs: Path) -> str:
    """The installed version."""
    code = f"from importlib.metadata import version; print(version({peer.name!r}))"
    done = subprocess.run([programs / "python", "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write_rows(folder: Path) -> None:
    """Sixteen conversations, and the register in which one of the tools looks data up."""
    messages = [{"role": "user", "content": "Two and two?"}, {"role": "assistant", "content": "Four."}]
    (folder / "rows.jsonl").write_text(f"{json.dumps({'messages': messages})}\n" * 16, encoding="utf-8")
    entry = {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}}
    (folder / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")


def quiet_environment(programs: Path) -> dict[str, str]:
    """Variables under which a tool asks no hub, no tracker and no card, on one thread."""
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "DO_NOT_TRACK": "1",
        "AXOLOTL_DO_NOT_TRACK": "1",
        "DISABLE_VERSION_CHECK": "1",
    }
