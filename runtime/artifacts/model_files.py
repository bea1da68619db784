"""Configuration and tokenizer of a whole model, in the words of transformers 4 and 5 alike.

transformers 5 saves the rotary base frequency inside `rope_parameters` alone; transformers 4, and what is built on it,
reads `rope_theta` beside it and takes 10,000 where it is absent, without a word. So each key of the base's own
`config.json` is still in the new one, and what they say is compared before the file stays.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ftc.runtime.artifacts.sentence_files import write_sentence_files
from ftc.runtime.execution.session import Session
from ftc.runtime.models.sharding import plain_class_name
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.heads import head_card
from ftc.spec.storage.model_files import TEXT_FILES
from ftc.spec.storage.own_tokenizer import tokenizer_folder
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["config_for_all", "copy_tokenizer", "write_model_files"]

_CONFIG = "config.json"
_ROPE = "rope_parameters"
_SCALING = "rope_scaling"
_ROPE_WORDS = frozenset(
    "rope_theta rope_scaling rope_local_base_freq global_rope_theta local_rope_theta rotary_emb_base rotary_pct".split()
)
"""Keys by which transformers 4 knows a rotary embedding."""


def write_model_files(session: Session, model: Any, folder: Path) -> None:
    """Writes the configuration of a whole model, and the tokenizer, which training leaves as it is.

    Raises:
        Refusal: A key of the base's configuration can't be kept (FTC665).
    """
    model.config.architectures = [plain_class_name(model)]
    model.config.save_pretrained(folder)
    base = json.loads((session.inputs.model_folder / _CONFIG).read_text(encoding="utf-8"))
    base.pop("quantization_config", None)  # what is written isn't quantized, whatever the base's files are
    if (rope := session.plan.settings.model.rope) is not None:
        base |= rope.values()
        if base.pop(_ROPE, None) is not None and _ROPE_WORDS & base.keys() == {_SCALING}:
            del base[_SCALING]  # the base knows the words of transformers 5 alone
    text = json.dumps(config_for_all(model.config, base), indent=2, sort_keys=True) + "\n"
    (folder / _CONFIG).write_text(text, encoding="utf-8")
    if head_card(session.plan.settings.model.head).writes:
        _end_where_learned(model.generation_config, session.plan.settings.model.stop_ids)
        model.generation_config.save_pretrained(folder)
    write_sentence_files(session.plan.settings, model.config, folder)
    copy_tokenizer(session, folder)


def copy_tokenizer(session: Session, folder: Path) -> None:
    """Copies the tokenizer, with what the recipe changes of it, and what processes images: the result stands alone."""
    processor = [name for name in PROCESSOR_FILES if name in session.plan.lock.model.files]
    own, base = session.plan.settings.model.tokenizer, session.inputs.model_folder
    texts, names = tokenizer_folder(base, own), list(session.plan.lock.text.tokenizer_files)
    if own is not None:
        names = [name for name in TEXT_FILES if (texts / name).is_file()]
    for source, files in ((texts, names), (base, processor)):
        for name in files:
            shutil.copyfile(source / name, folder / Path(name).name)


def _end_where_learned(config: Any, stop_ids: tuple[int, ...]) -> None:
    """Has an answer end at the tokens that ended those of the rows, wherever the model is asked."""
    known = config.eos_token_id
    ends = [*known] if isinstance(known, list | tuple) else [known] if known is not None else []
    if more := [number for number in stop_ids if number not in ends]:
        config.eos_token_id = [*ends, *more] if ends or len(more) > 1 else more[0]


def config_for_all(config: Any, base: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` holds: what transformers 5 writes, every key of the base's own, and the words of 4.

    Args:
        config: The model's configuration.
        base: The base's `config.json`.

    Raises:
        Refusal: With the base's keys beside them, values are read that are not the model's (FTC665).
    """
    written: dict[str, Any] = json.loads(config.to_json_string())
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    if "num_labels" in base:
        values["num_labels"] = config.num_labels
    # What training left alone stays as the base's file says it: transformers 5 changes some values while it reads them.
    untouched = {name for name, value in _read(config, base).items() if name in base and value == values.get(name)}
    untouched -= {"transformers_version"}
    # Names with an underscore are no values of the model, but such as the folder that it was loaded from.
    kept = {name: value for name, value in values.items() if name in base and not name.startswith("_")}
    found = {**base, **kept, **written, **{name: base[name] for name in untouched}}
    if "dtype" in written:
        found["torch_dtype"] = written["dtype"]
    if isinstance(rope := written.get(_ROPE), dict):
        if words := sorted(_ROPE_WORDS & base.keys()):
            if _rope_by_words(config, found) != rope:
                raise Refusal([_unlike(words)])
        else:  # where 4 has no words for it, the base has none either: the model was born with 5
            found |= next((one for one in _worded(rope) if _rope_by_words(config, found | one) == rope), {})
    read, expected = (_read(config, one) for one in (found, written))
    if names := sorted(name for name in expected if name[0] != "_" and read.get(name) != expected[name]):
        raise Refusal([_unlike(names)])
    return found


def _rope_by_words(config: Any, words: dict[str, Any]) -> Any:
    """The rotary embedding that the words of transformers 4 alone mean."""
    others = {name: value for name, value in words.items() if name != _ROPE}
    return _read(config, others).get(_ROPE)


def _read(config: Any, words: dict[str, Any]) -> dict[str, Any]:
    """What transformers 5 takes the words of a `config.json` for."""
    found: dict[str, Any] = type(config).from_dict(copy.deepcopy(words)).to_dict()
    return found


def _worded(rope: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A rotary embedding in the words of transformers 4, of which each class reads some."""
    whole, local = rope.get("full_attention", rope), rope.get("sliding_attention", rope)
    theta, share = whole.get("rope_theta"), whole.get("partial_rotary_factor")
    scaling = {name: value for name, value in whole.items() if name not in ("rope_theta", "partial_rotary_factor")}
    more = {} if scaling.get("rope_type", "default") == "default" else {"rope_scaling": scaling}
    if "full_attention" in rope:
        yield {"rope_theta": theta, **more}
        yield {"rope_theta": theta, "rope_local_base_freq": local.get("rope_theta"), **more}
        yield {"global_rope_theta": theta, "local_rope_theta": local.get("rope_theta"), **more}
    else:
        yield {"rope_theta": theta, **({} if share is None else {"partial_rotary_factor": share}), **more}
        yield {"rotary_emb_base": theta, "rotary_pct": share, **more}


def _unlike(names: Sequence[str]) -> Diagnostic:
    words = ", ".join(f"`{name}`" for name in names)
    return diagnostic(
        "FTC665",
        f"the base model's `config.json` is ambiguous: {words} would mean another model",
        notes="older libraries read keys that newer ones ignore, and the two disagree here; nothing was written",
        help="fix these keys in the base model's `config.json`, and train again from it",
    )
