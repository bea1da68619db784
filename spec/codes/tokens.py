"""Codes 330 to 349, from rows to tokens: templates, answers, stop tokens."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC330",
        title="nothing to learn from",
        cause=(
            "After rendering, tokenizing and cutting, no row has a supervised token: every row was left out for one of"
            " the reasons shown. Training on it would compute a loss over nothing."
        ),
        wrong="data: {max_length: 8}   # every answer has 40 tokens or more",
        right="data: {max_length: 64}",
    ),
    Code(
        id="FTC331",
        title="template can't be read",
        cause="The Jinja source of a chat or prompt template has a syntax error, or names a filter that doesn't exist.",
        wrong="{% for message in messages %}{{ message.content }}",
        right="{% for message in messages %}{{ message.content }}{% endfor %}",
    ),
    Code(
        id="FTC332",
        title="template stopped by the sandbox",
        cause=(
            "Templates are programs that come with models and recipes, so they run in a child process with limits on"
            " memory, time and output, and without access to Python's internals. This one reached a limit or reached"
            " for what it may not touch."
        ),
        wrong="{{ ''.__class__.__mro__ }}",
        right="{{ text }}",
    ),
    Code(
        id="FTC333",
        title="unknown name in a template",
        cause=(
            "A prompt template uses a name that some row doesn't have: a key inside of a column, or a column that this"
            " row leaves out. It would render as empty text."
        ),
        wrong="Summarize: {{ article.bdy }}",
        right="Summarize: {{ article.body }}",
    ),
    Code(
        id="FTC334",
        title="no end-of-sequence token",
        cause="Without a token that ends a completion, the model can't learn to stop, and ftc doesn't invent one.",
        wrong='{"tokenizer_class": "PreTrainedTokenizerFast"}',
        right='{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}',
    ),
    Code(
        id="FTC335",
        title="answers cut away",
        cause=(
            "Conversations that are too long are shortened by whole answers, the last ones first. So many lose answers"
            " that much of what was to be learned isn't."
        ),
        wrong="data: {max_length: 128}  # most conversations have 400 tokens",
        right="data: {max_length: 512}",
    ),
    Code(
        id="FTC336",
        title="special token stands twice",
        cause=(
            "The rows, or the prompt template, write a token that the tokenizer or the chat template writes as well."
            " The model reads a begin that it never saw, or learns to end twice."
        ),
        wrong='{"prompt": "2 + 2 =", "completion": "4</s>"}',
        right='{"prompt": "2 + 2 =", "completion": "4"}',
    ),
    Code(
        id="FTC337",
        title="no stop token after the answer",
        cause=(
            "The chat template writes no special token after the assistant's text. The model would not learn where an"
            " answer ends, and would go on when it generates. ftc reports it rather than add a token that the template"
            " doesn't write at inference."
        ),
        wrong="{{ 'Assistant: ' + message['content'] + '\\n' }}",
        right="{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}",
    ),
    Code(
        id="FTC338",
        title="rows left out",
        cause="Some rows give no tokens: they are malformed, the template refuses them, or their answer doesn't fit.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC339",
        title="text that is not Unicode",
        cause=(
            "Half of a surrogate pair is no character and has no UTF-8 form, so no tokenizer can encode it. Data files"
            " that hold one are refused when they are read; a template can still write one."
        ),
        wrong="{{ text }} {{ '\\ud83d' }}",
        right="{{ text }} \U0001f600",
    ),
    Code(
        id="FTC340",
        title="prompt and answer share a token",
        cause=(
            "The tokenizer makes one token of the prompt's last characters and the answer's first ones, most often a"
            " space. ftc learns that token and evaluates from the tokens before it, but a server that tokenizes the"
            " prompt by itself gives the model something that it hasn't seen."
        ),
        wrong="prompt: 'Answer: '   # completion: '42'",
        right="prompt: 'Answer:'   # completion: ' 42'",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC341",
        title="turns that are not learned from",
        cause=(
            "The chat template writes an earlier answer differently once the conversation goes on, for example without"
            " its reasoning. The model never generates that text after that prompt, so the turn isn't supervised."
        ),
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC342",
        title="rows longer than the limit",
        cause=(
            "`overflow: refuse` asks for every row whole, and some rows have more tokens than `max_length` allows."
            " Neither is changed silently."
        ),
        wrong="data: {max_length: 128, overflow: refuse}   # the longest row has 171 tokens",
        right="data: {max_length: 256, overflow: refuse}",
    ),
    Code(
        id="FTC343",
        title="words without a token of their own",
        cause="A tag is learned at the first token of its word. These words have none: their characters are unknown to "
        "the tokenizer, or a token begins in the word before. Their tags are neither learned nor measured.",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC344",
        title="answers that no window holds",
        cause="A context longer than `max_length` is read in windows, and an answer must stand whole in one of them. "
        "Where none holds it, the model is taught that there is no answer.",
        wrong="task: {kind: question_answering, stride: 8}  # answers have up to 20 tokens",
        right="task: {kind: question_answering, stride: 64}",
        severity=Severity.WARNING,
    ),
)
