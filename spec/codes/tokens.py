"""Codes 330 to 349, from rows to tokens: templates, answers, stop tokens."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC330",
        title="no target tokens",
        cause=(
            "After rendering, tokenizing and truncation no row has a target token. Every row was left out for one of "
            "the reasons shown."
        ),
        wrong="data: {max_length: 8}   # every answer has 40 tokens or more",
        right="data: {max_length: 64}",
    ),
    Code(
        id="FTC331",
        title="template can't be read",
        cause=(
            "The Jinja source of a chat or prompt template has a syntax error, or uses a filter that doesn't exist."
        ),
        wrong="{% for message in messages %}{{ message.content }}",
        right="{% for message in messages %}{{ message.content }}{% endfor %}",
    ),
    Code(
        id="FTC332",
        title="template stopped by the sandbox",
        cause=(
            "Templates are programs that come with models and recipes, so they run in a child process with limits on "
            "memory, time and output, and without access to Python's internals. This template exceeded a limit or "
            "used something that is not allowed."
        ),
        wrong="{{ ''.__class__.__mro__ }}",
        right="{{ text }}",
    ),
    Code(
        id="FTC333",
        title="unknown name in a template",
        cause=(
            "A prompt template uses a name that some row doesn't have: a key inside a column, or a column that is "
            "missing in this row. It would render as empty text."
        ),
        wrong="Summarize: {{ article.bdy }}",
        right="Summarize: {{ article.body }}",
    ),
    Code(
        id="FTC334",
        title="no end-of-sequence token",
        cause="Without a token that ends a completion the model can't learn to stop. ftc does not add one.",
        wrong="model: {base: ./models/llama}   # tokenizer_config.json has no eos_token",
        right='model: {base: ./models/llama, special_tokens: {eos_token: "</s>"}}',
    ),
    Code(
        id="FTC335",
        title="answers truncated",
        cause=(
            "Conversations that are too long are shortened by whole answers, starting with the last. Too many rows "
            "lose answers that you want to train on."
        ),
        wrong="data: {max_length: 128}  # most conversations have 400 tokens",
        right="data: {max_length: 512}",
    ),
    Code(
        id="FTC336",
        title="duplicate special token",
        cause=(
            "The rows or the prompt template contain a token that the tokenizer or the chat template adds as well. "
            "The model would see two start tokens, or learn to end twice."
        ),
        wrong='{"prompt": "2 + 2 =", "completion": "4</s>"}',
        right='{"prompt": "2 + 2 =", "completion": "4"}',
    ),
    Code(
        id="FTC337",
        title="no stop token after the answer",
        cause=(
            "The chat template adds no special token after the assistant's text. The model would not learn where an "
            "answer ends and would not stop generating. ftc does not add a token that the template doesn't use at "
            "inference."
        ),
        wrong="{{ 'Assistant: ' + message['content'] + '\\n' }}",
        right="{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}",
    ),
    Code(
        id="FTC338",
        title="rows left out",
        cause="Some rows give no tokens: they are malformed, the template rejects them, or their answer doesn't fit.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC339",
        title="text that is not Unicode",
        cause=(
            "Half of a surrogate pair is not a character and has no UTF-8 form, so no tokenizer can encode it. Data "
            "files with such text are refused when they are read; a template can still produce it."
        ),
        wrong="{{ text }} {{ '\\ud83d' }}",
        right="{{ text }} \U0001f600",
    ),
    Code(
        id="FTC340",
        title="prompt and answer share a token",
        cause=(
            "The tokenizer merges the prompt's last characters and the answer's first ones into one token, most "
            "often at a space. ftc trains on that token and evaluates from the tokens before it, but a server that "
            "tokenizes the prompt alone gives the model a sequence that it never saw."
        ),
        wrong="prompt: 'Answer: '   # completion: '42'",
        right="prompt: 'Answer:'   # completion: ' 42'",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC341",
        title="turns that are not trained on",
        cause=(
            "The chat template renders an earlier answer differently once the conversation continues, for example "
            "without its reasoning. The model never generates that text after that prompt, so the turn is not "
            "trained on."
        ),
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC342",
        title="rows longer than the limit",
        cause=(
            "`overflow: refuse` requires that every row fits, but some rows have more tokens than `max_length`. ftc "
            "changes neither silently."
        ),
        wrong="data: {max_length: 128, overflow: refuse}   # the longest row has 171 tokens",
        right="data: {max_length: 256, overflow: refuse}",
    ),
    Code(
        id="FTC343",
        title="words without a token of their own",
        cause="A tag is trained at the first token of its word. These words have no such token: the tokenizer "
        "doesn't know their characters, or their token begins in the previous word. Their tags are neither "
        "trained on nor evaluated.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC344",
        title="answers that no window contains",
        cause="A context longer than `max_length` is read with a sliding window, and a whole answer must be inside "
        "one window. For these rows no window contains it, so the model is trained to predict that there is no "
        "answer.",
        wrong="task: {kind: question_answering, stride: 8}  # answers have up to 20 tokens",
        right="task: {kind: question_answering, stride: 64}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC349",
        title="characters to write that the tokenizer doesn't know",
        cause=(
            "The tokenizer has no token for some characters of the answers, and writes one token for all that it "
            "doesn't know. The model learns to write that token in their place, and no answer of it will ever have "
            "these characters. T5's tokenizer, for example, has neither `{` nor `<` nor line breaks; a tokenizer of "
            "bytes, as those of Llama 3, Qwen and GPT-2, knows every text."
        ),
        wrong='completion: \'{"total": 12}\'   # T5 writes: <unk>"total": 12<unk>',
        right="model: {base: ./models/flan-t5-small, add_tokens: ['{', '}']}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC348",
        title="rows that can't be aligned with the teacher's tokens",
        cause="With `loss: uld` a teacher may have another tokenizer. The plan aligns its tokens with the model's by "
        "the answers' text: where a token of each begins at the same character, their probabilities are compared. A "
        "row whose answer is another text once the two tokenizers have read it, or that is too long for the teacher, "
        "is learned from its own answer alone. If that holds for all rows, the teacher would have no effect.",
        wrong="train: {distillation: {teacher: ./models/uncased, loss: uld}}",
        right="train: {distillation: {teacher: ./models/cased, loss: uld}}",
        severity=Severity.WARNING,
    ),
)
