"""Codes 350 to 399: data files, their rows and how these are divided, and configurations that `ftc import` reads."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC350",
        title="data file not found",
        cause="Paths in a recipe are relative to the recipe's folder, and there is no file at this path.",
        wrong="data: {source: {path: row.jsonl}}",
        right="data: {source: {path: rows.jsonl}}",
    ),
    Code(
        id="FTC351",
        title="data file can't be read",
        cause="The file exists, but the system doesn't allow reading it.",
        wrong="chmod 000 rows.jsonl",
        right="chmod 644 rows.jsonl",
    ),
    Code(
        id="FTC352",
        title="unknown kind of data file",
        cause="The suffix decides how a file is read: JSON, JSON lines, CSV, TSV, Parquet, Arrow, CoNLL or text.",
        wrong="data: {source: {path: rows.txt}}",
        right="data: {source: {path: rows.csv}}",
    ),
    Code(
        id="FTC353",
        title="data file has another format than its suffix",
        cause="The first bytes show an archive, a pickle or another format than the suffix says. ftc never opens "
        "archives or pickles, because they can run code or grow without bound.",
        wrong="data: {source: {path: rows.zip}}",
        right="data: {source: {path: rows.jsonl}}  # after `unzip rows.zip`; `rows.jsonl.gz` is read as it is",
    ),
    Code(
        id="FTC354",
        title="data file is not UTF-8",
        cause="In another encoding characters would be read wrongly, and no loss shows it.",
        wrong="iconv -t latin1 rows.csv",
        right="iconv -f latin1 -t utf-8 rows.csv > rows-utf8.csv",
    ),
    Code(
        id="FTC355",
        title="row can't be read",
        cause="A line of the file is incomplete or broken. The finding gives the line and the parser's message.",
        wrong='{"text": "half a ro',
        right='{"text": "half a row", "label": "a"}',
    ),
    Code(
        id="FTC356",
        title="row is not an object",
        cause="Every row needs named columns; this row is a bare list or text.",
        wrong='["good film", "positive"]',
        right='{"text": "good film", "label": "positive"}',
    ),
    Code(
        id="FTC357",
        title="row has a different number of fields than the header",
        cause="Most often a comma or a line break inside a field is not quoted.",
        wrong="text,label\nwell, good,positive",
        right='text,label\n"well, good",positive',
    ),
    Code(
        id="FTC358",
        title="column without a unique name",
        cause="The header names a column twice, or leaves a name empty. A CSV file may have no header at all: "
        "`columns` in its source names the columns then.",
        wrong="text,text\ngood film,positive",
        right="text,label\ngood film,positive",
    ),
    Code(
        id="FTC359",
        title="data file has no rows",
        cause="The file is empty, or has only a header.",
        wrong="text,label",
        right="text,label\ngood film,positive",
    ),
    Code(
        id="FTC360",
        title="unsupported column type",
        cause="A column of a Parquet or Arrow file that the recipe uses contains values other than text, numbers, "
        "lists or objects of these. Columns that the recipe doesn't use may have any type.",
        wrong="text: binary, label: string",
        right="text: string, label: string",
    ),
    Code(
        id="FTC361",
        title="a cell swallows rows",
        cause="Two stray quotes, lines apart, turn everything between them into one cell. The rows in it are not "
        "trained on, and the cell is far longer than any other.",
        wrong='text,label\n"good film,positive\nbad film,negative\nfine" film,positive',
        right="text,label\ngood film,positive\nbad film,negative\nfine film,positive",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC362",
        title="column is missing",
        cause="The task or the prompt template needs a column that the file does not have.",
        wrong="data: {fields: {text: mesage}}",
        right="data: {fields: {text: message}}",
    ),
    Code(
        id="FTC363",
        title="value of the wrong type",
        cause="A column that the task reads as text, label or conversation contains another type in some rows.",
        wrong='{"text": 5, "label": 1.5}',
        right='{"text": "good film", "label": 1}',
    ),
    Code(
        id="FTC364",
        title="value is empty",
        cause="An empty text or answer teaches the model nothing.",
        wrong='{"prompt": "2 + 2 =", "completion": ""}',
        right='{"prompt": "2 + 2 =", "completion": "4"}',
    ),
    Code(
        id="FTC365",
        title="conversation has a wrong structure",
        cause="Chat templates expect an optional system turn, then user and assistant in turn. They reject other "
        "orders, or leave turns out silently.",
        wrong='{"messages": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]}',
        right='{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
    ),
    Code(
        id="FTC366",
        title="conversation does not end with an answer",
        cause="ftc trains only on the assistant's turns, so everything after the last one has no effect.",
        wrong='{"messages": [{"role": "user", "content": "Hi"}]}',
        right='{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
    ),
    Code(
        id="FTC367",
        title="mixed conversation formats",
        cause="A conversation uses `from` and `value` (ShareGPT) or `role` and `content`, but can't mix both.",
        wrong='{"conversations": [{"from": "human", "value": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
        right='{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}',
    ),
    Code(
        id="FTC368",
        title='value that means "missing"',
        cause="Data frames, databases and spreadsheets write a mark such as `nan` for a missing value. Read as text "
        "it becomes a class of its own, or text to train on.",
        wrong="text,label\ngood film,positive\nbad film,nan",
        right="text,label\ngood film,positive\nbad film,negative",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC369",
        title="characters that an editor hides",
        cause="A label or a column name contains an invisible character, a special space, or letters of two "
        "alphabets that look the same. It is not the label or column that it looks like.",
        wrong="a label with a no-break space behind it, or a Cyrillic letter inside a Latin word",
        right="the label in plain letters",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC370",
        title="leakage between training and evaluation rows",
        cause="A validation or test row also occurs in the training rows, exactly or as a near duplicate (different "
        "case, punctuation or a few words), so the score would be too high. `data.quality.allow_overlap` sets "
        "the share that is accepted.",
        wrong="data: {source: {path: rows.jsonl}, split: {test: {path: rows.jsonl}}}",
        right="data: {source: {path: rows.jsonl}, split: {test: 0.1}}",
    ),
    Code(
        id="FTC371",
        title="split has no rows",
        cause="The share is too small for the rows, so a part of the split would be empty.",
        wrong="data: {split: {test: 0.01}}  # of 20 rows",
        right="data: {split: {test: 0.1}}",
    ),
    Code(
        id="FTC372",
        title="label without training rows",
        cause="Validation or test rows have a label that no training row has, or that `task.labels` does not list.",
        wrong='task: {kind: classification, labels: [ham, spam]}  # a row says "scam"',
        right="task: {kind: classification, labels: [ham, spam, scam]}",
    ),
    Code(
        id="FTC373",
        title="duplicate rows",
        cause="Duplicate rows stay in one part of the split, but count more than others in training.",
        wrong='{"text": "hi", "label": "ham"}\n{"text": "hi", "label": "ham"}',
        right='{"text": "hi", "label": "ham"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC374",
        title="only one class or rating",
        cause="With one label or rating alone there is nothing to learn, often since the wrong column is named.",
        wrong="data: {fields: {label: language}}  # every row is `en`",
        right="data: {fields: {label: topic}}",
    ),
    Code(
        id="FTC375",
        title="class without training rows",
        cause="A class of `task.labels` has an output in the head, but no training row.",
        wrong='task: {kind: classification, labels: [ham, spam, scam]}  # no row says "scam"',
        right="task: {kind: classification, labels: [ham, spam]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC376",
        title="invalid tags",
        cause="Each word has one tag. In IOB2 an entity begins with `B-`, continues with `I-` of the same type, and "
        "all other words have `O`. Other tags would become entities that nobody meant.",
        wrong='{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["I-PER", "I-PER", "O"]}',
        right='{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["B-PER", "I-PER", "O"]}',
    ),
    Code(
        id="FTC377",
        title="labeled span doesn't match its text",
        cause="A span names its first character, the one after its last, and a label. Spans must be inside the text "
        "and must not overlap, because a word has one tag.",
        wrong='{"text": "Ada wrote", "spans": [{"start": 0, "end": 30, "label": "PER"}]}',
        right='{"text": "Ada wrote", "spans": [{"start": 0, "end": 3, "label": "PER"}]}',
    ),
    Code(
        id="FTC378",
        title="answer can't be used",
        cause="An extractive answer must occur in its context at the character that `answer_start` names; a "
        "generative answer needs a text.",
        wrong='{"question": "Who?", "context": "Ada wrote", "answers": {"text": ["Ada"], "answer_start": [4]}}',
        right='{"question": "Who?", "context": "Ada wrote", "answers": {"text": ["Ada"], "answer_start": [0]}}',
    ),
    Code(
        id="FTC379",
        title="invalid preference pair",
        cause="A preference needs two different answers to one prompt, both as texts or both as conversations that "
        "differ only in their last turn.",
        wrong='{"prompt": "Hi", "chosen": "Hello", "rejected": "Hello"}',
        right='{"prompt": "Hi", "chosen": "Hello", "rejected": "What?"}',
    ),
    Code(
        id="FTC380",
        title="invalid time",
        cause="A split by time needs a time in every row: ISO 8601 text in all rows, or a number in all rows.",
        wrong='data: {split: {time: date}}  # a row says "31.5.2024"',
        right='data: {split: {time: date}}  # "2024-05-31"',
    ),
    Code(
        id="FTC382",
        title="no patterns for this country",
        cause="The installed presidio has no patterns for a country in `data.quality.presidio.countries`.",
        wrong="data: {quality: {presidio: {countries: [gb]}}}",
        right="data: {quality: {presidio: {countries: [uk]}}}",
    ),
    Code(
        id="FTC383",
        title="same text, different labels",
        cause=(
            "Rows with the same text have different labels. The model can't learn both, and neither can be evaluated."
        ),
        wrong='{"text": "great", "label": "good"}\n{"text": "Great!", "label": "bad"}',
        right='{"text": "great", "label": "good"}\n{"text": "Great!", "label": "good"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC384",
        title="encoding errors",
        cause="Characters were lost or misread when the text was converted between encodings (mojibake). A model "
        "learns to write what it reads.",
        wrong='{"text": "CafÃ©"}',
        right='{"text": "Café"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC385",
        title="secret in the rows",
        cause="A row contains what looks like an API key, a password or a private key. A tuned model can repeat it "
        "to anybody who asks. `data.quality.secrets` decides whether this stops the plan.",
        wrong="data: {quality: {secrets: refuse}}  # a row holds a token",
        right="data: {quality: {secrets: refuse}}  # the token was taken out, and revoked",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC386",
        title="personal data in the rows",
        cause="Rows contain e-mail addresses, telephone, credit card or account numbers, or kinds that presidio was "
        "asked to find. `data.quality.personal` asks for a warning or a refusal.",
        wrong="data: {quality: {personal: refuse}}  # a row holds an address",
        right="data: {quality: {personal: refuse}}  # the address was taken out",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC387",
        title="class that is not evaluated",
        cause="A class has training rows, but no validation row or no test row, so its quality is not measured.",
        wrong="data: {split: {test: 0.01}}",
        right="data: {split: {test: 0.1}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC388",
        title="low agreement between annotators",
        cause="The annotators agree hardly more often than expected by chance, so the model can learn little.",
        wrong="data: {quality: {annotations: [ann, bob]}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC389",
        title="no such row to show",
        cause="The row is in another part of the split, or was left out before tokenization.",
        wrong="ftc tokens recipe.yaml --row 17  # which is a test row",
        right="ftc tokens recipe.yaml --row 17 --split test",
    ),
    Code(
        id="FTC381",
        title="invalid table of paraphrases",
        cause="The file that `data.augment.paraphrases` names has a row without text in the column `from` or `to`.",
        wrong="phrase,other\na lot,much",
        right="from,to\na lot,much",
    ),
    Code(
        id="FTC390",
        title="unreadable configuration",
        cause="The file is not YAML or JSON that can be read safely. Anchors, merge keys and YAML 1.1 words are "
        "accepted; tags, several documents, and aliases that expand too far are not. A shell script needs exactly one "
        "command with options, on its line and not in a configuration that it names. Programs (`.py`) are not read.",
        wrong="hooks: !!python/name:os.system",
        right="hooks: null",
    ),
    Code(
        id="FTC391",
        title="unknown configuration format",
        cause="The keys belong to none of the tools that `ftc import` supports: Axolotl, LLaMA-Factory, torchtune, "
        "TRL, Oumi, and a job of OpenAI's fine-tuning. A file for a launcher, such as accelerate or DeepSpeed, does "
        "not describe a training job.",
        wrong="compute_environment: LOCAL_MACHINE",
        right="model_name_or_path: org/model\nstage: sft\nfinetuning_type: lora\ndataset: my_rows",
    ),
    Code(
        id="FTC392",
        title="configuration can't be imported",
        cause="Something that a recipe needs is missing, can't be reached from here, or has no counterpart: the "
        "rows, the base model, or the training method. ftc writes no recipe, because it would train something "
        "else than the configuration.",
        wrong="base_model: org/model\nrl: dpo",
        right="base_model: org/model\nadapter: lora\ndatasets:\n  - path: rows.jsonl\n    type: chat_template",
    ),
    Code(
        id="FTC550",
        title="locked rows in other bytes",
        cause="A data file differs from the one that was locked in line endings, a byte order mark, the order of keys "
        "or columns, or its layout alone: each row is the same, and so is their order. The lock stays as it is.",
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC393",
        title="empty rows are left out",
        cause="`data.empty: drop` leaves rows out in which a text, a label or another part that the task can't do "
        "without is empty, holds white space alone or has no value. `--json` names every one of them.",
        wrong="data: {source: {path: tickets.csv}, empty: drop}",
        severity=Severity.NOTE,
    ),
    Code(
        id="FTC394",
        title="labels differ only by case, white space or Unicode form",
        cause="`billing`, `Billing` and `billing ` are three classes to a model, each with its own output, though "
        "a person takes them for one. Quotes show blanks at the ends.",
        wrong="text,label\nI was charged twice,billing\nWhere is my invoice?,Billing",
        right="data: {labels: {normalize: [case, space]}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC395",
        title="class of one row that looks like a typo",
        cause="A class has a single row, and its name is one letter away from that of a large class: it is probably "
        "the same class, typed wrongly. A class of one row can't be both trained on and evaluated.",
        wrong="text,label\nThe soup was cold,wram",
        right="text,label\nThe soup was cold,warm",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC397",
        title="no such sheet",
        cause="The workbook has no sheet of the name that `sheet` gives. Without it the first sheet is read.",
        wrong="data: {source: {path: tickets.xlsx, sheet: Ticket}}",
        right="data: {source: {path: tickets.xlsx, sheet: Tickets}}",
    ),
    Code(
        id="FTC398",
        title="pattern or folder without a usable set of files",
        cause="A folder or a pattern means all data files that match: at least one, all of one kind, each inside the "
        "project or the folder at an address. Buckets (`s3://`, `gs://`) list their files; a web server doesn't.",
        wrong="data: {source: {path: 'shards/*.jsnl'}}",
        right="data: {source: {path: 'shards/*.jsonl'}}",
    ),
    Code(
        id="FTC399",
        title="rows break the order of time",
        cause="`data.split.time` trains on the oldest rows and evaluates on the newest, but near duplicates stay in "
        "one part, to avoid leakage. Some of them are newer than evaluation rows.",
        wrong="data: {split: {time: day}}  # a text of March occurs again in May",
        right="data: {split: {time: day, together: copies}, quality: {allow_overlap: 0.1}}",
        severity=Severity.WARNING,
    ),
)
