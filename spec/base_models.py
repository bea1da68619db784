"""Public base models: what their configurations say, so that they can be planned without being fetched.

Parameters are computed from these figures, and a test compares them with published counts. Facts were read on
2026-11-28 at the places that `source` names; a model may have changed since. What a row doesn't say isn't known here.
"""

from __future__ import annotations

from ftc.spec.base_model_card import CARD, BaseModel, family

__all__ = ["BASE_MODELS", "READ_ON", "BaseModel"]

READ_ON = "2026-11-28"
"""When the facts were read."""

BASE_MODELS: tuple[BaseModel, ...] = (
    *family(
        "bert",
        "apache-2.0",
        "2018",
        "en",
        tied=True,
        source=CARD,
        rows=(
            ("google-bert/bert-base-uncased", 768, 12, 12, 12, 64, 3072, 30522, 512),
            ("google-bert/bert-base-cased", 768, 12, 12, 12, 64, 3072, 28996, 512),
            ("google-bert/bert-large-uncased", 1024, 24, 16, 16, 64, 4096, 30522, 512),
            ("google-bert/bert-large-cased", 1024, 24, 16, 16, 64, 4096, 28996, 512),
        ),
    ),
    *family(
        "bert",
        "apache-2.0",
        "2018",
        "en de fr es it pt nl pl ru zh ja ar",
        tied=True,
        source=CARD,
        rows=(("google-bert/bert-base-multilingual-cased", 768, 12, 12, 12, 64, 3072, 119547, 512),),
    ),
    *family(
        "bert",
        "mit",
        "2019",
        "de",
        tied=True,
        source=CARD,
        rows=(("google-bert/bert-base-german-cased", 768, 12, 12, 12, 64, 3072, 30000, 512),),
    ),
    *family(
        "roberta",
        "mit",
        "2019",
        "en",
        tied=True,
        source=CARD,
        rows=(
            ("FacebookAI/roberta-base", 768, 12, 12, 12, 64, 3072, 50265, 514),
            ("FacebookAI/roberta-large", 1024, 24, 16, 16, 64, 4096, 50265, 514),
        ),
    ),
    *family(
        "roberta",
        "apache-2.0",
        "2019",
        "en",
        tied=True,
        source=CARD,
        rows=(("distilbert/distilroberta-base", 768, 6, 12, 12, 64, 3072, 50265, 514),),
    ),
    *family(
        "xlm-roberta",
        "mit",
        "2019",
        "en de fr es it pt nl pl ru zh ja ar hi th vi ko",
        tied=True,
        source=CARD,
        rows=(
            ("FacebookAI/xlm-roberta-base", 768, 12, 12, 12, 64, 3072, 250002, 514),
            ("FacebookAI/xlm-roberta-large", 1024, 24, 16, 16, 64, 4096, 250002, 514),
        ),
    ),
    *family(
        "distilbert",
        "apache-2.0",
        "2019",
        "en",
        tied=True,
        source=CARD,
        rows=(
            ("distilbert/distilbert-base-uncased", 768, 6, 12, 12, 64, 3072, 30522, 512),
            ("distilbert/distilbert-base-cased", 768, 6, 12, 12, 64, 3072, 28996, 512),
        ),
    ),
    *family(
        "distilbert",
        "apache-2.0",
        "2019",
        "en de fr es it pt nl pl ru zh ja ar",
        tied=True,
        source=CARD,
        rows=(("distilbert/distilbert-base-multilingual-cased", 768, 6, 12, 12, 64, 3072, 119547, 512),),
    ),
    *family(
        "deberta-v2",
        "mit",
        "2021-11",
        "en",
        tied=True,
        source=CARD,
        rows=(
            ("microsoft/deberta-v3-small", 768, 6, 12, 12, 64, 3072, 128100, 512),
            ("microsoft/deberta-v3-base", 768, 12, 12, 12, 64, 3072, 128100, 512),
            ("microsoft/deberta-v3-large", 1024, 24, 16, 16, 64, 4096, 128100, 512),
        ),
    ),
    *family(
        "electra",
        "apache-2.0",
        "2020-03",
        "en",
        tied=True,
        source=CARD,
        rows=(
            ("google/electra-base-discriminator", 768, 12, 12, 12, 64, 3072, 30522, 512),
            ("google/electra-large-discriminator", 1024, 24, 16, 16, 64, 4096, 30522, 512),
        ),
    ),
    *family(
        "olmo2",
        "apache-2.0",
        "2024-11",
        "en",
        rows=(
            ("allenai/OLMo-2-1124-13B", 5120, 40, 40, 40, 128, 13824, 100352, 4096),
            ("allenai/OLMo-2-1124-7B", 4096, 32, 32, 32, 128, 11008, 100352, 4096),
        ),
    ),
    *family(
        "llama",
        "apache-2.0",
        "2024-10",
        "ca es eu gl pt fr it de en",
        rows=(
            ("BSC-LT/salamandra-2b", 2048, 24, 16, 16, 128, 5440, 256000, 8192),
            ("BSC-LT/salamandra-7b", 4096, 32, 32, 8, 128, 11008, 256000, 8192),
        ),
    ),
    *family(
        "gpt_neox",
        "apache-2.0",
        "2023",
        "en",
        rows=(
            ("EleutherAI/pythia-1.4b", 2048, 24, 16, 16, 128, 8192, 50304, 2048),
            ("EleutherAI/pythia-12b", 5120, 36, 40, 40, 128, 20480, 50688, 2048),
            ("EleutherAI/pythia-160m", 768, 12, 12, 12, 64, 3072, 50304, 2048),
            ("EleutherAI/pythia-1b", 2048, 16, 8, 8, 256, 8192, 50304, 2048),
            ("EleutherAI/pythia-2.8b", 2560, 32, 32, 32, 80, 10240, 50304, 2048),
            ("EleutherAI/pythia-410m", 1024, 24, 16, 16, 64, 4096, 50304, 2048),
            ("EleutherAI/pythia-6.9b", 4096, 32, 32, 32, 128, 16384, 50432, 2048),
            ("EleutherAI/pythia-70m", 512, 6, 8, 8, 64, 2048, 50304, 2048),
        ),
    ),
    *family(
        "gemma2",
        "gemma",
        "2024-06",
        "en",
        tied=True,
        gated=True,
        rows=(
            ("google/gemma-2-27b", 4608, 46, 32, 16, 128, 36864, 256000, 8192),
            ("google/gemma-2-9b", 3584, 42, 16, 8, 256, 14336, 256000, 8192),
        ),
    ),
    *family(
        "gemma2",
        "gemma",
        "2024-07",
        "en",
        tied=True,
        gated=True,
        rows=(("google/gemma-2-2b", 2304, 26, 8, 4, 256, 9216, 256000, 8192),),
    ),
    *family(
        "gemma",
        "gemma",
        "2024-02",
        "en",
        tied=True,
        gated=True,
        rows=(
            ("google/gemma-2b", 2048, 18, 8, 1, 256, 16384, 256000, 8192),
            ("google/gemma-7b", 3072, 28, 16, 16, 256, 24576, 256000, 8192),
        ),
    ),
    *family(
        "llama",
        "apache-2.0",
        "2024-10",
        "en",
        tied=True,
        rows=(
            ("HuggingFaceTB/SmolLM2-1.7B", 2048, 24, 32, 32, 64, 8192, 49152, 8192),
            ("HuggingFaceTB/SmolLM2-135M", 576, 30, 9, 3, 64, 1536, 49152, 8192),
            ("HuggingFaceTB/SmolLM2-360M", 960, 32, 15, 5, 64, 2560, 49152, 8192),
        ),
    ),
    *family(
        "llama",
        "llama2",
        "2023-07",
        "en",
        gated=True,
        rows=(
            ("meta-llama/Llama-2-13b-hf", 5120, 40, 40, 40, 128, 13824, 32000, 4096),
            ("meta-llama/Llama-2-70b-hf", 8192, 80, 64, 8, 128, 28672, 32000, 4096),
            ("meta-llama/Llama-2-7b-hf", 4096, 32, 32, 32, 128, 11008, 32000, 4096),
        ),
    ),
    *family(
        "llama",
        "llama3.1",
        "2024-07",
        "en de fr it pt hi es th",
        gated=True,
        rows=(
            ("meta-llama/Llama-3.1-405B", 16384, 126, 128, 8, 128, 53248, 128256, 131072),
            ("meta-llama/Llama-3.1-70B", 8192, 80, 64, 8, 128, 28672, 128256, 131072),
            ("meta-llama/Llama-3.1-8B", 4096, 32, 32, 8, 128, 14336, 128256, 131072),
        ),
    ),
    *family(
        "llama",
        "llama3.2",
        "2024-09",
        "en de fr it pt hi es th",
        tied=True,
        gated=True,
        rows=(
            ("meta-llama/Llama-3.2-1B", 2048, 16, 32, 8, 64, 8192, 128256, 131072),
            ("meta-llama/Llama-3.2-3B", 3072, 28, 24, 8, 128, 8192, 128256, 131072),
        ),
    ),
    *family(
        "llama",
        "llama3",
        "2024-04",
        "en",
        gated=True,
        rows=(
            ("meta-llama/Meta-Llama-3-70B", 8192, 80, 64, 8, 128, 28672, 128256, 8192),
            ("meta-llama/Meta-Llama-3-8B", 4096, 32, 32, 8, 128, 14336, 128256, 8192),
        ),
    ),
    *family(
        "phi3",
        "mit",
        "2024-12",
        "en",
        rows=(("microsoft/phi-4", 5120, 40, 40, 10, 128, 17920, 100352, 16384),),
    ),
    *family(
        "mistral",
        "apache-2.0",
        "2023-09",
        "en",
        rows=(("mistralai/Mistral-7B-v0.1", 4096, 32, 32, 8, 128, 14336, 32000, 4096),),
    ),
    *family(
        "mistral",
        "apache-2.0",
        "2024-05",
        "en",
        rows=(("mistralai/Mistral-7B-v0.3", 4096, 32, 32, 8, 128, 14336, 32768, 32768),),
    ),
    *family(
        "llama",
        "apache-2.0",
        "2023-06",
        "en",
        rows=(
            ("openlm-research/open_llama_13b", 5120, 40, 40, 40, 128, 13824, 32000, 2048),
            ("openlm-research/open_llama_3b", 3200, 26, 32, 32, 100, 8640, 32000, 2048),
            ("openlm-research/open_llama_7b", 4096, 32, 32, 32, 128, 11008, 32000, 2048),
        ),
    ),
    *family(
        "qwen2",
        "apache-2.0",
        "2024-09",
        "zh en fr es pt de it ru ja ko vi th ar",
        tied=True,
        rows=(
            ("Qwen/Qwen2.5-0.5B", 896, 24, 14, 2, 64, 4864, 151936, 32768),
            ("Qwen/Qwen2.5-1.5B", 1536, 28, 12, 2, 128, 8960, 151936, 131072),
        ),
    ),
    *family(
        "qwen2",
        "apache-2.0",
        "2024-09",
        "zh en fr es pt de it ru ja ko vi th ar",
        rows=(
            ("Qwen/Qwen2.5-14B", 5120, 48, 40, 8, 128, 13824, 152064, 131072),
            ("Qwen/Qwen2.5-32B", 5120, 64, 40, 8, 128, 27648, 152064, 131072),
            ("Qwen/Qwen2.5-7B", 3584, 28, 28, 4, 128, 18944, 152064, 131072),
        ),
    ),
    *family(
        "qwen2",
        "qwen-research",
        "2024-09",
        "zh en fr es pt de it ru ja ko vi th ar",
        tied=True,
        rows=(("Qwen/Qwen2.5-3B", 2048, 36, 16, 2, 128, 11008, 151936, 32768),),
    ),
    *family(
        "qwen2",
        "qwen",
        "2024-09",
        "zh en fr es pt de it ru ja ko vi th ar",
        rows=(("Qwen/Qwen2.5-72B", 8192, 80, 64, 8, 128, 29568, 152064, 131072),),
    ),
    *family(
        "qwen3",
        "apache-2.0",
        "2025-04",
        "zh en fr es pt de it ru ja ko vi th ar",
        tied=True,
        rows=(
            ("Qwen/Qwen3-0.6B-Base", 1024, 28, 16, 8, 128, 3072, 151936, 32768),
            ("Qwen/Qwen3-1.7B-Base", 2048, 28, 16, 8, 128, 6144, 151936, 32768),
            ("Qwen/Qwen3-4B-Base", 2560, 36, 32, 8, 128, 9728, 151936, 32768),
        ),
    ),
    *family(
        "qwen3",
        "apache-2.0",
        "2025-04",
        "zh en fr es pt de it ru ja ko vi th ar",
        rows=(
            ("Qwen/Qwen3-14B-Base", 5120, 40, 40, 8, 128, 17408, 151936, 32768),
            ("Qwen/Qwen3-32B", 5120, 64, 64, 8, 128, 25600, 151936, 40960),
            ("Qwen/Qwen3-8B-Base", 4096, 36, 32, 8, 128, 12288, 151936, 32768),
        ),
    ),
    *family(
        "llama",
        "falcon-llm-license",
        "2024-12",
        "en fr es pt",
        rows=(
            ("tiiuae/Falcon3-10B-Base", 3072, 40, 12, 4, 256, 23040, 131072, 32768),
            ("tiiuae/Falcon3-1B-Base", 2048, 18, 8, 4, 256, 8192, 131072, 4096),
            ("tiiuae/Falcon3-3B-Base", 3072, 22, 12, 4, 256, 9216, 131072, 32768),
            ("tiiuae/Falcon3-7B-Base", 3072, 28, 12, 4, 256, 23040, 131072, 32768),
        ),
    ),
    *family(
        "llama",
        "apache-2.0",
        "2023-12",
        "en",
        rows=(("TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T", 2048, 22, 32, 4, 64, 5632, 32000, 2048),),
    ),
)
"""Every model of the catalog, encoders first."""
