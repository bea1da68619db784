"""The catalog of base models: sizes add up to published counts, and the planner takes each row."""

from __future__ import annotations

import re

import pytest

from ftc.compiler.base_models import config_of, facts_of, num_parameters
from ftc.compiler.resolve.models.model import misfits
from ftc.compiler.resolve.models.model_config import read_config
from ftc.spec.base_models import BASE_MODELS, BaseModel
from ftc.spec.documents.facts import TokenizerFacts

TOKENIZER = TokenizerFacts(
    vocab_size=100,
    bos_token=None,
    eos_token=None,
    pad_token=None,
    bos_id=None,
    eos_id=None,
    pad_id=None,
    model_max_length=None,
    chat_template=None,
)
PUBLISHED = {
    "google-bert/bert-base-uncased": 109_482_240,
    "google-bert/bert-base-cased": 108_310_272,
    "google-bert/bert-large-uncased": 335_141_888,
    "google-bert/bert-large-cased": 333_579_264,
    "google-bert/bert-base-multilingual-cased": 177_853_440,
    "sentence-transformers/all-MiniLM-L6-v2": 22_713_216,
    "FacebookAI/roberta-base": 124_645_632,
    "FacebookAI/xlm-roberta-base": 278_043_648,
    "distilbert/distilbert-base-uncased": 66_362_880,
    "distilbert/distilbert-base-cased": 65_190_912,
    "distilbert/distilbert-base-multilingual-cased": 134_734_080,
    "microsoft/deberta-v3-small": 141_304_320,
    "microsoft/deberta-v3-base": 183_831_552,
    "microsoft/deberta-v3-large": 434_012_160,
    "google/electra-base-discriminator": 108_891_648,
    "BSC-LT/salamandra-7b": 7_768_117_248,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "mistralai/Mistral-7B-v0.1": 7_241_732_096,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B-Base": 596_049_920,
    "Qwen/Qwen3-8B-Base": 8_190_735_360,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-2-2b": 2_614_341_888,
    "google/gemma-2-9b": 9_241_705_984,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "microsoft/phi-4": 14_659_507_200,
    "EleutherAI/pythia-70m": 70_426_624,
    "EleutherAI/pythia-1b": 1_011_781_632,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": 1_100_048_384,
}
"""Parameters: of decoders as the models' pages count them, of encoders as keras-hub does, less what only one of the two
has (the pooler of ELECTRA; the pooler, two positions and a token type of RoBERTa and XLM-R)."""


def test_there_are_enough_of_them_and_each_once() -> None:
    names = [one.name for one in BASE_MODELS]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert set(PUBLISHED) <= set(names)


@pytest.mark.parametrize("model", [one for one in BASE_MODELS if one.name in PUBLISHED], ids=lambda one: one.name)
def test_sizes_add_up_to_the_published_count(model: BaseModel) -> None:
    assert num_parameters(model) == PUBLISHED[model.name]


@pytest.mark.parametrize("model", BASE_MODELS, ids=lambda one: one.name)
def test_each_row_is_a_model_to_the_reader_of_models(model: BaseModel) -> None:
    facts = facts_of(model, TOKENIZER)
    assert misfits(read_config(config_of(model)), facts.tensors) == []
    assert facts.linear_modules
    assert facts.num_parameters == num_parameters(model)
    assert model.released is None or re.fullmatch(r"20\d\d(-\d\d)?", model.released)
    assert model.source
    assert all(re.fullmatch("[a-z]{2}", one) for one in model.languages)


def test_what_is_not_certain_is_unknown() -> None:
    known = {one.name: one for one in BASE_MODELS}
    mistral = known["mistralai/Mistral-7B-v0.1"]
    assert mistral.max_positions == 32768, "litgpt's 4,096 is its own limit, as its comment says"
    assert mistral.gated is None
    assert known["distilbert/distilbert-base-cased"].released is None
    assert known["openlm-research/open_llama_7b"].languages == ()
    assert all(re.search("litgpt|keras-hub|card|config.json", one.source) for one in BASE_MODELS)
