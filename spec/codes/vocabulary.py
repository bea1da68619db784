"""Codes 470 to 477: tokens, chat templates and positions that a recipe brings along."""

from ftc.spec.codes._code import Code, Severity
from ftc.spec.exit_codes import ExitCode

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC470",
        title="token with another id",
        cause="The installed release of `tokenizers` numbers an added token otherwise than the one that the plan was "
        "made with, so the plan's rows would have other tokens.",
        wrong="a plan made with one release of tokenizers and applied with another",
        right="the release that the lock pins",
        exit_code=ExitCode.COULD_NOT_WORK,
    ),
    Code(
        id="FTC471",
        title="token that is not new",
        cause="A token in `add_tokens` or `add_special_tokens` is in the model's vocabulary, or is listed twice. It "
        "would get no row of its own, and a list that says so hides a slip.",
        wrong="model: {base: ./model, add_tokens: [the]}",
        right="model: {base: ./model, add_tokens: [<tool>]}",
    ),
    Code(
        id="FTC472",
        title="token that would be split",
        cause="With the token added, the tokenizer still reads a text that contains it as other tokens: its normalizer "
        "or a longer token takes it apart. Its row would never be trained.",
        wrong="model: {base: ./model, add_tokens: [' ']}",
        right="model: {base: ./model, add_tokens: [<space>]}",
    ),
    Code(
        id="FTC473",
        title="token that the normalizer changes",
        cause="The tokenizer's normalizer changes texts before tokens are looked up, and added tokens with them: other "
        "texts are read as the token, too.",
        wrong="model: {base: ./uncased, add_tokens: [<Tool>]}",
        right="model: {base: ./uncased, add_tokens: [<tool>]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC474",
        title="added tokens that can't be learned",
        cause="An added token's rows in the embedding and in the output layer mean nothing until they are trained. The "
        "strategy, or this kind of model, leaves them as they are drawn.",
        wrong="model: {base: ./model, add_tokens: [<tool>]}\nstrategy: {kind: ln_tuning}",
        right="model: {base: ./model, add_tokens: [<tool>]}\nstrategy: {kind: lora}",
    ),
    Code(
        id="FTC475",
        title="chat template that can't be read",
        cause="`model.chat_template` names no file of the project, or one that is empty, too large or no UTF-8 text.",
        wrong="model: {base: ./model, chat_template: chatml}",
        right="model: {base: ./model, chat_template: chatml.jinja}",
    ),
    Code(
        id="FTC476",
        title="rotation that can't be scaled",
        cause="`model.rope` scales rotary positions. The model has none, one for each kind of layer, or one that "
        "transformers doesn't scale; or its own config.json scales them already, and two scalings don't add up; or "
        "`factor` is `auto`, and `data.max_length` asks for no more positions than the model has.",
        wrong="model: {base: openai-community/gpt2, rope: {kind: yarn, factor: 4}}",
        right="model: {base: Qwen/Qwen2.5-0.5B, rope: {kind: yarn, factor: 4}}",
    ),
    Code(
        id="FTC477",
        title="model can't write missing spans",
        cause="Span corruption puts a sentinel such as T5's `<extra_id_0>` in the place of each missing span, and the "
        "decoder of an encoder-decoder writes the spans behind their sentinels. The tokenizer needs one for each span "
        "of a block, and a token that ends a text.",
        wrong="task: {kind: span_corruption}\nmodel: {base: facebook/bart-base}",
        right="task: {kind: span_corruption}\nmodel: {base: google-t5/t5-small}",
    ),
)
