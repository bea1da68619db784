"""Training on sampled answers, as TRL's keys say it; Axolotl has them in a section of their own."""

from __future__ import annotations

from ftc.compiler.importers import rows, rules
from ftc.compiler.importers.translation import Key, Translation
from ftc.spec.documents.launch import LAUNCH_FILE
from ftc.spec.reinforcement_losses import REINFORCEMENT_LOSSES
from ftc.spec.rewards import REWARDS, reward_named
from ftc.spec.writers import WRITERS

__all__ = ["as_sampled", "of_sampling", "of_server", "prompts", "tells_sampling"]

_NUMBERS = {"temperature": "temperature", "beta": "beta"}
_COUNTS = {"num_generations": "group_size", "max_completion_length": "max_new_tokens", "top_k": "top_k"}
"""Keys of the recipe's task by TRL's."""
_SCORED = next(card.kind for card in REWARDS if "base" in card.required)
"""The reward that a model gives which is named by its folder or id."""
_USUAL_LOSS = "dapo"
"""What TRL takes where no loss is named."""


def tells_sampling(t: Translation) -> str | None:
    """A key of `trl grpo` that is there and that no other trainer of TRL has."""
    return next((key for key in ("num_generations", "reward_funcs", "max_completion_length") if t.has(key)), None)


def as_sampled(t: Translation, key: str, under: str = "", rewards: str = "") -> None:
    """Writes task, sampling, loss and rewards, as far as these map.

    Args:
        t: The translation.
        key: What says that answers are sampled.
        under: What stands before TRL's keys, with its dot.
        rewards: Key of the reward functions, where it has another name than TRL's.
    """
    if rows.as_questions(t, key):
        for foreign, own in _NUMBERS.items():
            if (number := t.number(under + foreign)) is not None:
                t.carry(under + foreign, f"task.{own}", number)
        for foreign, own in _COUNTS.items():
            if (count := t.whole(under + foreign)) is not None:
                t.carry(under + foreign, f"task.{own}", count)
        _loss(t, under + "loss_type")
        rewards, scorer = rewards or under + "reward_funcs", under + "reward_model_name_or_path"
        known = [one for name in t.names(rewards) if (one := reward_named(name.rpartition(".")[2]))]
        model = t.text(scorer)
        found = t.around.locate(model) if model else None
        if model and found is None and model.startswith(("/", "~", "$")):
            help = "name a run, a folder in the project or an id on the hub as `base` of a reward of `reward_model`"
            why = "a variable without a value in the file" if model.startswith("$") else "outside the project"
            t.drop(scorer, f"the reward model `{model[:80]}` is {why}", help)
            model = None
        scored = [{"kind": _SCORED, "base": found or model}] if model else []
        are_known = len(known) == len(t.names(rewards))
        if scored or (known and are_known):
            t.carry(
                [*([scorer] if scored else []), *([rewards] if are_known else [])], "task.rewards", [*scored, *known]
            )
        if are_known and (known or scored):
            return
        t.add("task.rewards", [{"kind": "exact_match"}], "in place of the rewards")
        kinds = ", ".join(f"`{card.kind}`" for card in REWARDS)
        t.drop(
            rewards,
            "a reward function is code, which a recipe does not run",
            f"write `task.rewards`; the kinds are {kinds}",
        )


def of_server(t: Translation, under: str = "") -> None:
    """Writes which server writes the answers, where one does that takes what is trained.

    Args:
        t: The translation.
        under: What stands before TRL's keys, with its dot.
    """
    places = [f"{under}vllm_server_{part}" for part in ("base_url", "host", "port")]
    mode = t.text(f"{under}vllm_mode")
    is_served = mode == "server" or (mode is None and any(map(t.has, places)))
    strategy = t.values.get("strategy.kind")
    if not t.flag(f"{under}use_vllm") or not is_served or strategy is None or strategy.value != "lora":
        return
    kind = next(card.kind for card in WRITERS if "vllm" in card.foreign)
    t.carry([f"{under}use_vllm", f"{under}vllm_mode"], "task.writer", kind)
    for key in places:
        t.needless(key, f"the address is in `{LAUNCH_FILE}`: `writers: {{{kind}: {{url: …}}}}`")
    cap = t.number(f"{under}vllm_importance_sampling_cap")
    if t.has(corrects := f"{under}vllm_importance_sampling_correction") and not t.flag(corrects):
        t.carry(corrects, "task.importance_cap", "none")
    elif cap is not None:
        t.carry(f"{under}vllm_importance_sampling_cap", "task.importance_cap", cap)


def _loss(t: Translation, key: str) -> None:
    named = t.text(key)
    if named is None:
        t.add("task.loss", _USUAL_LOSS, "TRL's default")
        return
    card = next((one for one in REINFORCEMENT_LOSSES if named in one.foreign), None)
    if card is not None:
        t.carry(key, "task.loss", card.kind)
    else:
        known = ", ".join(f"`{one.kind}`" for one in REINFORCEMENT_LOSSES)
        t.block(key, f"the loss `{named[:40]}` is not supported", f"choose one of {known}")


def prompts(t: Translation, key: Key) -> None:
    """A data set of prompts; what a transform of the user's own makes of its rows is code."""
    rows.place_rows(t, (*key, "path"), file_key=(*key, "data_files"), revision_key=(*key, "revision"))
    if t.has((*key, "type")):
        help = "name the columns in `data.fields`: `prompt` and `reference`"
        t.drop((*key, "type"), "a transform of rows is code, which a recipe does not run", help)


def of_sampling(under: str = "") -> rules.Rules:
    """Rules of the keys of sampling that a recipe doesn't have.

    Args:
        under: What stands before them, with its dot.
    """

    def keys(names: str) -> str:
        return " ".join(under + name for name in names.split())

    once = "each sampled batch is trained on once, so that no ratio is clipped"
    return {
        **rules.needless(once, keys("epsilon epsilon_high delta")),
        **rules.needless("transformers writes the answers; with `writer_memory` a vLLM server does, beside it", keys(
            "use_vllm vllm_mode vllm_gpu_memory_utilization vllm_tensor_parallel_size vllm_server_host "
            "vllm_server_port vllm_server_base_url vllm_server_timeout vllm_device vllm_dtype vllm_max_model_len "
            "vllm_importance_sampling_correction vllm_importance_sampling_cap "
            "vllm_enable_prefix_caching vllm_guided_decoding_regex use_transformers_paged cache_implementation "
            "ds3_gather_for_generation")),
        **rules.needless("every answer is kept in the run folder", keys(
            "log_completions num_completions_to_print wandb_log_unique_prompts")),
        **rules.needless("the columns that rewards compare with are in `data.fields`", keys("remove_unused_columns")),
        **rules.dropped("each sampled batch is trained on once", keys("num_iterations"), off=(1,)),
        **rules.dropped("a step samples its own answers", keys("steps_per_generation generation_batch_size"),
            "set `train.batch_size`, which counts answers"),
        **rules.dropped("each reward counts once", keys("reward_weights"),
            "set each reward's `weight` in `task.rewards`"),
        **rules.dropped("the loss decides whether advantages are divided by the spread", keys("scale_rewards"),
            "write `task.loss: dr_grpo` for no division", off=("group", True)),
        **rules.dropped("tokens are sampled from all or from the `top_k` likeliest", keys("top_p min_p"),
            off=(1, 1.0, 0, 0.0)),
        **rules.dropped("sampling has no penalty", keys("repetition_penalty"), off=(1, 1.0)),
        **rules.dropped("answers that were cut off count as others do", keys("mask_truncated_completions")),
        **rules.dropped("the divergence is from the base model", keys(
            "sync_ref_model ref_model_mixup_alpha ref_model_sync_steps")),
    }  # fmt: skip
