"""How a tokenizer and a chat template behave, as digests: fixed texts in, what comes out is hashed.

Equal files can behave otherwise, with another release of the library that reads them; other files can behave the same.
The texts hold what implementations have disagreed on: spaces, line ends, digits, accents in both Unicode forms, scripts
without spaces, emoji with joiners, bytes that are rare, special tokens typed by a user.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.spec import canonical

__all__ = ["render_probe", "tokenizer_probe"]

_TEXTS = (
    "Hello, world! It's 12:34:56 on 2024-02-29, and 1,234,567.89 isn't 1e-4.",
    " leading space, two  spaces, three   spaces, and one at the end ",
    "tab\there\nline\r\nend\n\n\nafter three",
    "ünïcödé, and the same decomposed: u\u0308ni\u0308co\u0308de\u0301",
    "Straße, œuvre, naïve façade, ŁÓDŹ, İstanbul, ﬁne ligature, ½ ² ①",
    "日本語のテキスト、中文文本。한국어 텍스트 ไทย العربية עברית हिन्दी",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☺️ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "def f(x):\n    return {'a': [x**2, 0xFF], \"b\": None}  # comment\n",
    "https://example.org/path?q=a%20b&c=d#e user@example.org C:\\dir\\file",
    "\u200b zero width \ufeff mark \u00a0 no-break \u2028 separator \x00 null",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!!!!!!!!????----====____",
    "",
)
_CONVERSATIONS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("user", "What is two and two?"), ("assistant", "Four.")),
    (("system", "Answer briefly."), ("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")),
    (("user", "  spaces kept?  \n"), ("assistant", "<b>&amp;</b> 'single' \"double\" \\n")),
    (("user", "Only a question"),),
)


def tokenizer_probe(tokenizer: TextTokenizer) -> str:
    """sha256 over the ids that fixed texts become, special tokens added as the model gets them."""
    texts = (*_TEXTS, *tokenizer.special_tokens[:32])
    return canonical.digest([list(found.ids) for found in tokenizer.encode_complete(texts, None)])


def render_probe(template: str, tokens: dict[str, str | None], renderer: TemplateRenderer) -> str | None:
    """sha256 over what a chat template makes of fixed conversations; None where it can render none of them.

    Args:
        template: Jinja source.
        tokens: The special tokens that templates may name, such as `bos_token`.
        renderer: The sandbox.
    """
    rendered = renderer.render(template, [_request(turns, tokens) for turns in _CONVERSATIONS])
    if all(isinstance(text, TemplateProblem) for text in rendered):
        return None
    return canonical.digest([None if isinstance(text, TemplateProblem) else text for text in rendered])


def _request(turns: Sequence[tuple[str, str]], tokens: dict[str, str | None]) -> dict[str, object]:
    messages = [{"role": role, "content": content} for role, content in turns]
    named = {name: token or "" for name, token in tokens.items()}
    return {
        "tools": None,
        "documents": None,
        **named,
        "messages": messages,
        "add_generation_prompt": turns[-1][0] == "user",
    }
