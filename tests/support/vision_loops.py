"""What a plain loop with transformers and peft makes of the batches of a run with images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftc import api
from ftc.spec.batches import BatchOrder
from ftc.spec.documents.streams import open_stream
from ftc.spec.storage.paths import streams_folder
from ftc.spec.vision_models import vision_model

__all__ = ["inputs_of", "logged_losses", "plain_losses", "plain_run"]


def _steps(run: api.Run) -> list[dict[str, Any]]:
    events = (json.loads(line) for line in (run.folder / "events.ndjson").read_text(encoding="utf-8").splitlines())
    return [one for one in events if one.get("kind") == "step"]


def logged_losses(run: api.Run) -> list[float]:
    """The loss of each step of a run."""
    return [float(step["loss"]) for step in _steps(run)]


def inputs_of(run: api.Run, root: Path, numbers: list[int]) -> dict[str, Any]:
    """Training rows of a run as its model's class takes them, padded on the right, with labels."""
    import torch

    from ftc.runtime.models.pixels import FolderPixels

    settings, streams = run.plan.settings, streams_folder(run.plan.stream_key)
    rows, vision = open_stream(streams / "train.arrow"), settings.model.vision
    assert vision is not None
    card = vision_model(vision.model_type)
    assert card is not None
    longest = max(len(rows.ids(number)) for number in numbers)
    lines = [rows.ids(number).tolist() for number in numbers]
    masks = [rows.mask(number).tolist() for number in numbers]
    ids = torch.tensor([line + [settings.model.pad_id] * (longest - len(line)) for line in lines])
    labels = torch.full_like(ids, -100)
    for place, mask in enumerate(masks):
        labels[place, : len(mask)] = torch.where(torch.tensor(mask), ids[place, : len(mask)], -100)
    marked = {card.marks: (ids == vision.image_token_id).int()} if card.marks else {}
    if card.sees_ahead == "prompt":
        begins = torch.tensor([rows.prompt_length(number) for number in numbers])
        marked = {str(card.marks): (torch.arange(longest) >= begins[:, None]).int()}
    pixels = FolderPixels(streams, root / settings.model.base, vision.processor_options)(rows, numbers)
    return {"input_ids": ids, "labels": labels, **(pixels or {}), **marked}


def plain_losses(run: api.Run, root: Path) -> list[float]:
    """Losses of the same steps by transformers' own loss and torch's AdamW, with adapters as peft draws them."""
    return plain_run(run, root)[0]


def plain_run(run: api.Run, root: Path) -> tuple[list[float], Any]:
    """The same, with the model as the last step leaves it."""
    import torch

    settings = run.plan.settings
    rows = open_stream(streams_folder(run.plan.stream_key) / "train.arrow")
    order = BatchOrder(rows.lengths, settings.train.batch_size, settings.train.steps_per_epoch, settings.seeds.order)
    model = _begun(run, root).train()
    weights = [one for one in model.parameters() if one.requires_grad]
    numbers = settings.train.optimizer
    optimizer = torch.optim.AdamW(
        weights, betas=(numbers.beta1, numbers.beta2), eps=numbers.epsilon, weight_decay=numbers.weight_decay
    )
    losses = []
    for step, done in enumerate(_steps(run)):
        loss = model(**inputs_of(run, root, list(order.rows(step)))).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, settings.train.max_grad_norm or float("inf"))
        for group in optimizer.param_groups:
            group["lr"] = float(done["learning_rate"])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert len(losses) == settings.train.num_steps
    return losses, model


def _begun(run: api.Run, root: Path) -> Any:
    """The model before its first step: whole, or with an adapter, beside packed weights where the plan has some."""
    import peft
    import torch
    import transformers

    settings, adapter = run.plan.settings, getattr(run.plan.settings.strategy, "adapter", None)
    card = vision_model(settings.model.vision.model_type) if settings.model.vision else None
    assert card is not None
    options: dict[str, Any] = {}
    if settings.strategy.traits.quantized is not None:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype="float32",
            llm_int8_skip_modules=[f"model.{card.tower}", f"model.{card.projector}", "lm_head"],
        )
    torch.manual_seed(settings.seeds.init)
    base = transformers.AutoModelForImageTextToText.from_pretrained(root / settings.model.base, **options)
    if adapter is None:
        for name, one in base.named_parameters():
            parts = name.split(".")
            one.requires_grad_(card.projector in parts or card.tower not in parts)
        return base
    names = [name for name, _ in base.named_modules() if not set(card.parts) & set(name.split("."))]
    names = [name for name in names if name.rpartition(".")[2] in adapter.targets]
    config = peft.LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=names)
    torch.manual_seed(settings.seeds.init)
    return peft.get_peft_model(base, config)
