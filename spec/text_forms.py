"""The forms in which rows become tokens, a card each: what a plan and the views have to know of them.

How a form is written down token by token stands in `ftc.compiler.text`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["FORMS", "FormCard", "FormName", "TemplateUse", "form_card"]

FormName = Literal[
    "classify",
    "score",
    "tag",
    "extract",
    "embed",
    "rerank",
    "chat",
    "prompt",
    "sample",
    "preference",
    "answer",
    "steps",
    "masked",
    "raw",
    "spans",
]
"""`classify`: text to label. `score`: text to numbers. `tag`: words to tags. `extract`: question and context to the
answer's place. `embed`: texts that are compared, each a sequence of its own. `rerank`: a query with each of several
texts. `chat`: messages through the chat template. `prompt`: prompt and completion. `sample`: a prompt, which the model
answers in training. `preference`: a prompt and two answers. `answer`: a prompt and an answer, which are rated together.
`steps`: a prompt and an answer in steps, each of which is rated. `raw`: text in blocks. `masked`: text in blocks, some
of whose tokens are masked. `spans`: text in blocks, of which spans are missing and written."""

TemplateUse = Literal["needed", "offered", "unused"]
"""Whether a model's chat template has to be there, is used where it is there, or is left aside."""


class FormCard(NamedTuple):
    """Everything that is known of a form without a row."""

    name: FormName
    chat_template: TemplateUse
    usual_max_length: int
    """Longest sequence, in tokens, that `max_length: auto` allows; longer ones are asked for by name."""
    is_pair: bool
    """Whether a row is two sequences that are compared, which attend to themselves alone."""
    has_texts: bool
    """Whether a row is several texts, each a sequence of its own, of which the first token is marked."""
    ranks_texts: bool
    """Whether these texts are a query's, each read together with it, and are put in an order."""
    is_sampled: bool
    """Whether a row is a prompt alone, whose answers are sampled in training."""
    takes_examples: bool
    """Whether other rows with their answers can stand before a row's prompt."""
    rates_steps: bool
    """Whether each step of a row's answer is rated."""
    is_conversation: bool
    """Whether the template writes every turn of a row."""
    is_self_supervised: bool
    """Whether the text itself is all that is trained on."""
    redraws: bool
    """Whether each step draws which of a text's tokens are missing."""
    moves_targets: bool
    """Whether a target is a place in the text, which moves with the words before it."""
    noun: str
    """What the count of targets counts, a plural; empty for tokens."""
    targets: str
    """What a split's rows are trained on, over `{targets}`, `{windows}` and `{labels}`; empty where that is a share
    of their tokens."""
    example: tuple[str, ...]
    """Lines of Python that try a loaded model, for the model card, over `{max_length}`; none where its head says it."""


FORMS = (
    FormCard(
        name="classify",
        chat_template="unused",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="training labels",
        targets="{labels} per row",
        example=(),
    ),
    FormCard(
        name="score",
        chat_template="unused",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="rated rows",
        targets="the numbers of each row",
        example=(),
    ),
    FormCard(
        name="tag",
        chat_template="unused",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="word tags",
        targets="{targets} tagged words",
        example=(),
    ),
    FormCard(
        name="extract",
        chat_template="unused",
        usual_max_length=384,  # as in the reference for SQuAD: a longer context gets more windows
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=True,
        noun="starts and ends",
        targets="in {windows} of one answer each",
        example=(),
    ),
    FormCard(
        name="embed",
        chat_template="unused",
        usual_max_length=512,  # what encoders of text are usually trained on
        is_pair=False,
        has_texts=True,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="texts",
        targets="{targets} texts",
        example=(),
    ),
    FormCard(
        name="rerank",
        chat_template="unused",
        usual_max_length=512,  # what encoders of text are usually trained on
        is_pair=False,
        has_texts=True,
        ranks_texts=True,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="texts",
        targets="{targets} texts, each with its query",
        example=(
            'query, text = "A question.", "A text that may answer it."',
            'inputs = tokenizer(query, text, truncation=True, max_length={max_length}, return_tensors="pt")',
            "print(model(**inputs).logits[0].sigmoid())",
        ),
    ),
    FormCard(
        name="chat",
        chat_template="needed",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=True,
        rates_steps=False,
        is_conversation=True,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="",
        targets="",
        example=(),
    ),
    FormCard(
        name="prompt",
        chat_template="offered",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=True,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="",
        targets="",
        example=(),
    ),
    FormCard(
        name="sample",
        chat_template="offered",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=True,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="answer tokens",
        targets="answers that the model samples",
        example=(),
    ),
    FormCard(
        name="preference",
        chat_template="offered",
        usual_max_length=1024,
        is_pair=True,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="pairs",
        targets="two answers per row",
        example=(),
    ),
    FormCard(
        name="answer",
        chat_template="offered",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="rated answers",
        targets="the rating of each row",
        example=(),
    ),
    FormCard(
        name="steps",
        chat_template="unused",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=True,
        is_conversation=False,
        is_self_supervised=False,
        redraws=False,
        moves_targets=False,
        noun="rated steps",
        targets="{targets} rated steps",
        example=(
            "import torch",
            "",
            'prompt, steps = "What is 2 + 2?", ["2 and 2 make 4.", "So the answer is 4."]',
            "ids, ends = tokenizer(prompt).input_ids, []",
            "for step in steps:",
            "    for text in (step, {separator}):",
            "        ids += tokenizer(text, add_special_tokens=False).input_ids",
            "    ends.append(len(ids) - 1)",
            "scores = model(input_ids=torch.tensor([ids])).logits[0, ends].softmax(dim=-1)[:, 1]",
            "print(scores.tolist())  # of each step, how likely it is right",
        ),
    ),
    FormCard(
        name="masked",
        chat_template="unused",
        usual_max_length=512,  # what encoders of text are usually pretrained on
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=True,
        redraws=True,
        moves_targets=False,
        noun="masked tokens",
        targets="",
        example=(),
    ),
    FormCard(
        name="raw",
        chat_template="unused",
        usual_max_length=1024,
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=True,
        redraws=False,
        moves_targets=False,
        noun="",
        targets="",
        example=(),
    ),
    FormCard(
        name="spans",
        chat_template="unused",
        usual_max_length=512,  # what T5 was pretrained on
        is_pair=False,
        has_texts=False,
        ranks_texts=False,
        is_sampled=False,
        takes_examples=False,
        rates_steps=False,
        is_conversation=False,
        is_self_supervised=True,
        redraws=True,
        moves_targets=False,
        noun="tokens of missing spans",
        targets="",
        example=(
            'text = "A text with a <extra_id_0> in it."',
            'inputs = tokenizer(text, truncation=True, max_length={max_length}, return_tensors="pt")',
            "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=32)[0]))",
        ),
    ),
)
"""Every form."""

_BY_NAME = {card.name: card for card in FORMS}


def form_card(name: FormName) -> FormCard:
    """What is known of a form."""
    return _BY_NAME[name]
