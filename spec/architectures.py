"""What each model type of transformers is made of, as far as a plan has to know: one row a model type.

Sizes are in a model's config.json and in its tensors; a row says what neither does. Each row is compared with
transformers' own classes by `tests/runtime/test_architectures.py`. `None` means that ftc doesn't know: whoever asks
has to decide what that comes to, and the plan lists it. A type without a row is one of which nothing is known.
"""

from __future__ import annotations

from dataclasses import fields, replace

from ftc.spec import mixtures
from ftc.spec.architecture_card import Architecture, BehindHead, Family, Mixture, Norm, Positions

__all__ = ["ARCHITECTURES", "Architecture", "BehindHead", "Family", "Mixture", "Norm", "Positions", "architecture"]


def _unknown(model_type: str) -> Architecture:
    return Architecture(
        model_type=model_type, **{one.name: None for one in fields(Architecture) if one.name != "model_type"}
    )


_BERT = Architecture(
    model_type="bert",
    family="encoder",
    widths_in_config=True,
    inner_ratio=0,
    transposed=False,
    positions="learned",
    scales_rotation=False,
    window_every=0,
    norm="fused",
    two_norms=False,
    activation="gelu",
    dropout=0.1,
    attention_dropout=0.1,
    inner_dropout=False,
    ends_with_product=False,
    widens_keys=False,
    unquantized=(),
    recomputes=True,
    counts_padding=False,
    reads_padding=False,
    classifier=("classifier",),
    classifier_layers=1,
    classifier_keeps=("pooler",),
    classifier_reads_one=True,
    tagger=("classifier",),
    span_head=("qa_outputs",),
    tagger_keeps=(),
    tokens=(None, None, "[PAD]"),
    summary_prefix="",
    behind_head="nothing",
    mixture="dense",
    divides_layers=False,
    widens_latents="",
)
_REMBERT = replace(_BERT, model_type="rembert", dropout=0.0, attention_dropout=0.0, tokens=("[CLS]", "[SEP]", "<pad>"))
_ELECTRA = replace(_BERT, model_type="electra", classifier_layers=2, classifier_keeps=())
_ROBERTA = replace(_ELECTRA, model_type="roberta", positions="learned after padding", tokens=("<s>", "</s>", "<pad>"))
_DEBERTA = replace(
    _ELECTRA,
    model_type="deberta-v2",
    positions="disentangled",
    classifier=("pooler", "classifier"),
    tokens=("[CLS]", "[SEP]", "[PAD]"),
)
_LLAMA = replace(
    _BERT,
    model_type="llama",
    family="decoder",
    positions="rotary",
    scales_rotation=True,
    norm="composed",
    activation="silu",
    dropout=0.0,
    attention_dropout=0.0,
    ends_with_product=True,
    widens_keys=True,
    classifier=("score",),
    classifier_keeps=(),
    tagger=("score",),
    span_head=(),
    tokens=(None, None, None),
    divides_layers=True,
)
_QWEN_MOE = replace(
    _LLAMA,
    model_type="qwen3_moe",
    ends_with_product=False,  # the router's weights are multiplied with what experts give
    tokens=(None, "<|endoftext|>", "<|endoftext|>"),
    mixture=mixtures.EXPERTS,
    divides_layers=False,
)
_DEEPSEEK = replace(
    _LLAMA,
    model_type="deepseek_v2",
    tagger=(),
    mixture=mixtures.DEEPSEEK_EXPERTS,
    divides_layers=False,
    widens_latents="kv_b_proj",
)
_OLMO2 = replace(
    _LLAMA,
    model_type="olmo2",
    norm="composed in its input's type",
    ends_with_product=False,
    widens_keys=False,
    tagger=(),
    divides_layers=False,
)
_GEMMA2 = replace(
    _LLAMA,
    model_type="gemma2",
    norm="composed in its input's type",
    window_every=2,
    activation="gelu_pytorch_tanh",
    ends_with_product=False,
    tokens=("<bos>", "<eos>", "<pad>"),
    behind_head="softcap",
)
_COHERE = replace(
    _LLAMA,
    model_type="cohere",
    norm="composed in its input's type",
    widens_keys=False,
    classifier=(),
    tagger=(),
    tokens=("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<PAD>"),
    behind_head="times scale",
)
_GPT2 = replace(
    _LLAMA,
    model_type="gpt2",
    scales_rotation=False,
    inner_ratio=4,
    transposed=True,
    positions="learned",
    norm="fused",
    activation="gelu_new",
    dropout=0.1,
    attention_dropout=0.1,
    widens_keys=False,
    tagger=("classifier",),
    tokens=("<|endoftext|>", "<|endoftext|>", None),
    divides_layers=False,
)
_GPTJ = replace(
    _GPT2,
    model_type="gptj",
    transposed=False,
    positions="rotary",
    dropout=0.0,
    attention_dropout=0.0,
    widens_keys=True,
    tagger=(),
    divides_layers=True,
)
_GPT_NEOX = replace(
    _GPTJ,
    model_type="gpt_neox",
    scales_rotation=True,
    inner_ratio=0,
    two_norms=True,
    activation="gelu",
    tagger=("classifier",),
    tokens=("<|endoftext|>", "<|endoftext|>", "<|padding|>"),
)
_BLOOM = replace(
    _GPT_NEOX,
    model_type="bloom",
    scales_rotation=False,
    inner_ratio=4,
    positions="alibi",
    two_norms=False,
    widens_keys=False,
    tokens=(None, None, None),
    divides_layers=False,
)
_BART = replace(
    _BERT,
    model_type="bart",
    family="encoder_decoder",
    attention_dropout=0.0,
    classifier=("classification_head",),
    classifier_layers=2,
    classifier_keeps=(),
    classifier_reads_one=False,
    tagger=(),
    span_head=(),
    tokens=("<s>", "</s>", "<pad>"),
    behind_head="plus bias",
)
_MARIAN = replace(_BART, model_type="marian", positions="sinusoidal", classifier=(), tokens=(None, None, None))
_T5 = replace(
    _BART,
    model_type="t5",
    positions="relative",
    norm="composed twice",
    activation="relu",
    attention_dropout=0.1,
    inner_dropout=True,
    ends_with_product=True,
    unquantized=(".wo",),
    tokens=(None, "</s>", "<pad>"),
    summary_prefix="summarize: ",
    behind_head="nothing",
)

ARCHITECTURES: tuple[Architecture, ...] = (
    replace(_REMBERT, model_type="albert", activation="gelu_new", classifier_reads_one=False, recomputes=False),
    _BERT,
    replace(_ROBERTA, model_type="camembert"),
    replace(_ROBERTA, model_type="data2vec-text"),
    replace(_DEBERTA, model_type="deberta", norm="composed"),
    _DEBERTA,
    replace(_ELECTRA, model_type="distilbert", classifier=("pre_classifier", "classifier")),
    _ELECTRA,
    replace(_BERT, model_type="ernie"),
    replace(
        _REMBERT,
        model_type="eurobert",
        scales_rotation=True,
        classifier_reads_one=False,
        positions="rotary",
        norm="composed",
        activation="silu",
        ends_with_product=True,
        classifier=("dense", "classifier"),
        classifier_layers=2,
        classifier_keeps=(),
        span_head=(),
        tokens=(None, None, None),
    ),
    replace(_BERT, model_type="megatron-bert", ends_with_product=True),
    replace(_BERT, model_type="mobilebert", norm=None, activation="relu", dropout=0.0),  # most norms only scale
    replace(
        _REMBERT,
        model_type="modernbert",
        positions="rotary",
        ends_with_product=True,
        classifier_keeps=("head",),
        span_head=("classifier",),
        tagger_keeps=("head",),
        tokens=(None, None, None),
    ),
    replace(_ROBERTA, model_type="mpnet", recomputes=False),
    replace(
        _REMBERT,
        model_type="nomic_bert",
        scales_rotation=True,
        positions="rotary",
        activation="silu",
        classifier=("pooler", "classifier"),
        classifier_layers=2,
        classifier_keeps=(),
        span_head=(),
        tokens=_BERT.tokens,
    ),
    _REMBERT,
    _ROBERTA,
    replace(_ROBERTA, model_type="roberta-prelayernorm", ends_with_product=True),
    replace(_ELECTRA, model_type="roformer", positions="rotary"),
    replace(_ROBERTA, model_type="xlm-roberta"),
    replace(_ROBERTA, model_type="xlm-roberta-xl", ends_with_product=True),
    replace(_LLAMA, model_type="arcee", activation="relu2"),
    _BLOOM,
    replace(_GPTJ, model_type="codegen", widens_keys=False, classifier=()),
    _COHERE,
    replace(_COHERE, model_type="cohere2", window_every=4),
    _DEEPSEEK,
    replace(
        _DEEPSEEK, model_type="deepseek_v3", widens_keys=False, tagger=("score",), mixture=mixtures.DEEPSEEK_V3_EXPERTS
    ),
    replace(_LLAMA, model_type="ernie4_5", widens_keys=False, classifier=(), tagger=()),
    replace(_LLAMA, model_type="exaone4", window_every=4, ends_with_product=False),
    # Its larger models have two norms of one input, its smaller ones one, and their config.json tells.
    replace(
        _GPT_NEOX,
        model_type="falcon",
        divides_layers=False,
        classifier_reads_one=False,
        inner_ratio=4,
        two_norms=None,
        tokens=(None, None, None),
    ),
    replace(_GEMMA2, model_type="gemma", window_every=0, ends_with_product=True, behind_head="nothing"),
    _GEMMA2,
    replace(_GEMMA2, model_type="gemma3_text", scales_rotation=False, window_every=6, tagger=()),
    replace(_LLAMA, model_type="glm", divides_layers=False),
    replace(_LLAMA, model_type="glm4", ends_with_product=False, divides_layers=False),
    _GPT2,
    replace(
        _QWEN_MOE,
        model_type="gpt_oss",
        norm="composed in its input's type",
        window_every=2,
        unquantized=(".input_layernorm", ".norm", ".post_attention_layernorm"),
        classifier_reads_one=False,
        tokens=_LLAMA.tokens,
        mixture=mixtures.GPT_OSS_EXPERTS,
    ),
    replace(_GPT2, model_type="gpt_bigcode", transposed=False, activation="gelu_pytorch_tanh"),
    replace(_GPT2, model_type="gpt_neo", transposed=False, dropout=0.0, attention_dropout=0.0, counts_padding=True),
    _GPT_NEOX,
    _GPTJ,
    replace(_LLAMA, model_type="granite", classifier=(), tagger=(), behind_head="by scaling"),
    replace(
        _QWEN_MOE,
        model_type="granitemoe",
        classifier=(),
        tagger=(),
        tokens=_LLAMA.tokens,
        behind_head="by scaling",
        mixture=mixtures.GRANITE_EXPERTS,
    ),
    replace(_LLAMA, model_type="helium", norm="composed in its input's type"),
    _LLAMA,
    replace(_LLAMA, model_type="ministral3", scales_rotation=False),
    replace(_LLAMA, model_type="mistral"),
    replace(_QWEN_MOE, model_type="mixtral", tokens=_LLAMA.tokens, mixture=mixtures.MIXTRAL_EXPERTS),
    replace(_BLOOM, model_type="mpt", counts_padding=True, tokens=_GPT_NEOX.tokens),
    replace(_LLAMA, model_type="olmo", norm="fused", widens_keys=False, tagger=(), tokens=_GPT_NEOX.tokens),
    _OLMO2,
    replace(_OLMO2, model_type="olmo3", scales_rotation=False, window_every=4),
    replace(
        _QWEN_MOE, model_type="olmoe", classifier=(), tagger=(), tokens=_GPT_NEOX.tokens, mixture=mixtures.OLMOE_EXPERTS
    ),
    replace(
        _GPT2,
        model_type="openai-gpt",
        ends_with_product=False,
        recomputes=False,
        tagger=(),
        tokens=(None, None, None),
    ),
    replace(
        _GPT2,
        model_type="opt",
        classifier_reads_one=False,
        inner_ratio=0,
        transposed=False,
        activation="relu",
        attention_dropout=0.0,
        tagger=(),
    ),
    replace(_LLAMA, model_type="persimmon", norm="fused", activation="relu2", divides_layers=False),
    replace(_GPTJ, model_type="phi", scales_rotation=True, inner_ratio=0, tagger=("score",)),
    replace(_LLAMA, model_type="phi3", divides_layers=False),
    replace(_LLAMA, model_type="qwen2", tokens=(None, "<|endoftext|>", "<|endoftext|>")),
    replace(_LLAMA, model_type="qwen3", tokens=(None, "<|endoftext|>", "<|endoftext|>")),
    replace(_QWEN_MOE, model_type="qwen2_moe", mixture=mixtures.SHARED_EXPERTS),
    _QWEN_MOE,
    replace(_unknown("recurrent_gemma"), reads_padding=True),
    replace(_unknown("rwkv"), reads_padding=True),
    replace(_LLAMA, model_type="seed_oss", dropout=0.1, attention_dropout=0.1),
    replace(_LLAMA, model_type="smollm3"),
    replace(_LLAMA, model_type="stablelm", norm="fused", divides_layers=False),
    replace(_LLAMA, model_type="starcoder2", norm="fused", activation="gelu_pytorch_tanh", tokens=_GPT2.tokens),
    replace(
        _GPT2,
        model_type="xglm",
        inner_ratio=0,
        transposed=False,
        positions="sinusoidal",
        activation="gelu",
        classifier=(),
        tagger=(),
        tokens=("<s>", "</s>", "<pad>"),
    ),
    _BART,
    replace(_BART, model_type="blenderbot", ends_with_product=True, classifier=()),
    replace(_BART, model_type="blenderbot-small", classifier=(), tokens=("__start__", "__end__", "__null__")),
    replace(_BART, model_type="led", classifier=()),
    replace(_T5, model_type="longt5", classifier=(), unquantized=()),
    replace(
        _MARIAN,
        model_type="m2m_100",
        activation="relu",
        attention_dropout=0.1,
        ends_with_product=True,
        behind_head="nothing",
    ),
    _MARIAN,
    replace(_BART, model_type="mbart", ends_with_product=True),
    replace(_T5, model_type="mt5", activation="gated-gelu"),
    replace(_BART, model_type="mvp"),
    replace(_MARIAN, model_type="pegasus", ends_with_product=True, tokens=(None, "</s>", "<pad>")),
    replace(_BART, model_type="plbart", attention_dropout=0.1),
    _T5,
    replace(_T5, model_type="umt5", activation="gated-gelu"),
)
_BY_TYPE = {one.model_type: one for one in ARCHITECTURES}


def architecture(model_type: str) -> Architecture:
    """The row of a model type; one of unknowns where it has none."""
    return _BY_TYPE.get(model_type) or _unknown(model_type)
