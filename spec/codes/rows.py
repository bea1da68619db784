"""Codes 350 to 399: data files, their rows and how these are divided, and configurations that `ftc import` reads."""

from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES"]

CODES: tuple[Code, ...] = (
    Code(
        id="FTC350",
        title="data file not found",
        cause="A path in the recipe is relative to the recipe's own folder, and no file is there.",
        wrong="data: {source: {path: row.jsonl}}",
        right="data: {source: {path: rows.jsonl}}",
    ),
    Code(
        id="FTC351",
        title="data file can't be read",
        cause="The file is there, but the system refuses to open it.",
        wrong="chmod 000 rows.jsonl",
        right="chmod 644 rows.jsonl",
    ),
    Code(
        id="FTC352",
        title="data file of unknown kind",
        cause="The suffix tells how a file is read: JSON, JSON lines, CSV, TSV, Parquet, Arrow, CoNLL or text.",
        wrong="data: {source: {path: rows.txt}}",
        right="data: {source: {path: rows.csv}}",
    ),
    Code(
        id="FTC353",
        title="data file's content is of another kind",
        cause="The file's first bytes show an archive, a pickle or another format than its suffix says. Archives are "
        "never opened and pickles never read, since they can run code.",
        wrong="data: {source: {path: rows.jsonl.gz}}",
        right="data: {source: {path: rows.jsonl}}  # after `gunzip rows.jsonl.gz`",
    ),
    Code(
        id="FTC354",
        title="data file is not UTF-8",
        cause="Text in another encoding would be read as wrong characters, which nobody notices in a loss.",
        wrong="iconv -t latin1 rows.csv",
        right="iconv -f latin1 -t utf-8 rows.csv > rows-utf8.csv",
    ),
    Code(
        id="FTC355",
        title="row can't be read",
        cause="A line of the file is cut off or broken; the place and the reader's reason are given.",
        wrong='{"text": "half a ro',
        right='{"text": "half a row", "label": "a"}',
    ),
    Code(
        id="FTC356",
        title="row is no object",
        cause="Every row names its columns; a bare list or text has none.",
        wrong='["good film", "positive"]',
        right='{"text": "good film", "label": "positive"}',
    ),
    Code(
        id="FTC357",
        title="row has another number of fields than the header",
        cause="Most often a comma or a line break inside a field is not quoted.",
        wrong="text,label\nwell, good,positive",
        right='text,label\n"well, good",positive',
    ),
    Code(
        id="FTC358",
        title="column without a name of its own",
        cause="A header names a column twice or not at all.",
        wrong="text,text\ngood film,positive",
        right="text,label\ngood film,positive",
    ),
    Code(
        id="FTC359",
        title="data file holds no rows",
        cause="The file is empty, or holds nothing but a header.",
        wrong="text,label",
        right="text,label\ngood film,positive",
    ),
    Code(
        id="FTC360",
        title="column of a kind that can't be read",
        cause="A column of a Parquet or Arrow file that the recipe reads holds something that is no text, number, list "
        "or object of these. Columns that it doesn't read may hold what they like.",
        wrong="text: binary, label: string",
        right="text: string, label: string",
    ),
    Code(
        id="FTC361",
        title="a cell swallows rows",
        cause="Two stray quotes, lines apart, make one cell of all that stands between them. The rows in it are not "
        "trained on, and the cell is far longer than any other.",
        wrong='text,label\n"good film,positive\nbad film,negative\nfine" film,positive',
        right="text,label\ngood film,positive\nbad film,negative\nfine film,positive",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC362",
        title="column is missing",
        cause="The task, or the prompt's template, needs a column that the file does not have.",
        wrong="data: {fields: {text: mesage}}",
        right="data: {fields: {text: message}}",
    ),
    Code(
        id="FTC363",
        title="value of the wrong type",
        cause="A column that the task reads as text, label or conversation holds something else in some rows.",
        wrong='{"text": null, "label": 1.0}',
        right='{"text": "good film", "label": 1}',
    ),
    Code(
        id="FTC364",
        title="value is empty",
        cause="An empty text or answer teaches nothing, and a set full of them trains to a loss of nothing.",
        wrong='{"prompt": "2 + 2 =", "completion": ""}',
        right='{"prompt": "2 + 2 =", "completion": "4"}',
    ),
    Code(
        id="FTC365",
        title="conversation is out of shape",
        cause="Chat templates expect an optional system turn, then user and assistant in turn; they refuse other "
        "orders or leave turns out in silence.",
        wrong='{"messages": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]}',
        right='{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
    ),
    Code(
        id="FTC366",
        title="conversation does not end with an answer",
        cause="Only the assistant's turns are learned, so what follows the last of them is wasted.",
        wrong='{"messages": [{"role": "user", "content": "Hi"}]}',
        right='{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
    ),
    Code(
        id="FTC367",
        title="half a conversation in the ShareGPT form",
        cause="Conversations of `from` and `value` are read as those of `role` and `content`, but no mixture.",
        wrong='{"conversations": [{"from": "human", "value": "Hi"}, {"role": "assistant", "content": "Hello"}]}',
        right='{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}',
    ),
    Code(
        id="FTC368",
        title="value that reads as if nothing were there",
        cause="Data frames, databases and spreadsheets write a mark such as `nan` where there is no value. Read as "
        "text it becomes a class of its own, or a row to learn from.",
        wrong="text,label\ngood film,positive\nbad film,nan",
        right="text,label\ngood film,positive\nbad film,negative",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC369",
        title="characters that an editor hides",
        cause="A label or a column name holds a character without a form, a space that is no plain one, or letters of "
        "two alphabets that look alike. It is another label or column than the one that it looks like.",
        wrong="a label with a no-break space behind it, or a Cyrillic letter inside a Latin word",
        right="the label in plain letters",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC370",
        title="row is trained on and measured",
        cause="The same row, or one that differs in case, marks or a few words alone, stands in the training file and "
        "in the validation or test file, so the measurement would flatter the model. `data.quality.allow_overlap` "
        "tells which share is borne.",
        wrong="data: {source: {path: rows.jsonl}, split: {test: {path: rows.jsonl}}}",
        right="data: {source: {path: rows.jsonl}, split: {test: 0.1}}",
    ),
    Code(
        id="FTC371",
        title="part of the data is empty",
        cause="The share is so small, or the data so few, that a part would have no row.",
        wrong="data: {split: {test: 0.01}}  # of 20 rows",
        right="data: {split: {test: 0.1}}",
    ),
    Code(
        id="FTC372",
        title="label that is never learned",
        cause="Validation or test rows have a label that no training row has, or that `task.labels` does not list.",
        wrong='task: {kind: classification, labels: [ham, spam]}  # a row says "scam"',
        right="task: {kind: classification, labels: [ham, spam, scam]}",
    ),
    Code(
        id="FTC373",
        title="copies of rows",
        cause="Rows with the same content are kept in one part, but weigh more than others in training.",
        wrong='{"text": "hi", "label": "ham"}\n{"text": "hi", "label": "ham"}',
        right='{"text": "hi", "label": "ham"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC374",
        title="only one class",
        cause="With a single label there is nothing to tell apart; often the wrong column plays the label.",
        wrong="data: {fields: {label: language}}  # every row is `en`",
        right="data: {fields: {label: topic}}",
    ),
    Code(
        id="FTC375",
        title="class without training rows",
        cause="A class of `task.labels` has an output of the head, but no training row shows what it means.",
        wrong='task: {kind: classification, labels: [ham, spam, scam]}  # no row says "scam"',
        right="task: {kind: classification, labels: [ham, spam]}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC376",
        title="tags that don't fit their words",
        cause="Each word has one tag. In IOB2 an entity begins with `B-`, goes on with `I-` of the same type, and all "
        "other words have `O`; other tags would be learned as entities that nobody meant.",
        wrong='{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["I-PER", "I-PER", "O"]}',
        right='{"tokens": ["Ada", "Lovelace", "wrote"], "tags": ["B-PER", "I-PER", "O"]}',
    ),
    Code(
        id="FTC377",
        title="labeled stretch that doesn't fit its text",
        cause="A stretch names its first character, the one behind its last, and a label; stretches lie inside of the "
        "text and don't overlap, since a word has one tag.",
        wrong='{"text": "Ada wrote", "spans": [{"start": 0, "end": 30, "label": "PER"}]}',
        right='{"text": "Ada wrote", "spans": [{"start": 0, "end": 3, "label": "PER"}]}',
    ),
    Code(
        id="FTC378",
        title="answer that can't be learned",
        cause="An answer that is cut out of its context stands there, at the character that `answer_start` names; one "
        "that is written needs a text.",
        wrong='{"question": "Who?", "context": "Ada wrote", "answers": {"text": ["Ada"], "answer_start": [4]}}',
        right='{"question": "Who?", "context": "Ada wrote", "answers": {"text": ["Ada"], "answer_start": [0]}}',
    ),
    Code(
        id="FTC379",
        title="answers that can't be compared",
        cause="A preference is between two different answers to one prompt, both as texts or both as conversations "
        "that differ in their last turn alone.",
        wrong='{"prompt": "Hi", "chosen": "Hello", "rejected": "Hello"}',
        right='{"prompt": "Hi", "chosen": "Hello", "rejected": "What?"}',
    ),
    Code(
        id="FTC380",
        title="time that can't be read",
        cause="Rows are divided by time, so each needs one: ISO 8601 text in every row, or a number in every row.",
        wrong='data: {split: {time: date}}  # a row says "31.5.2024"',
        right='data: {split: {time: date}}  # "2024-05-31"',
    ),
    Code(
        id="FTC382",
        title="no patterns of a country",
        cause="`data.quality.presidio.countries` names a country of whose numbers the installed presidio knows none.",
        wrong="data: {quality: {presidio: {countries: [gb]}}}",
        right="data: {quality: {presidio: {countries: [uk]}}}",
    ),
    Code(
        id="FTC383",
        title="one text, two classes",
        cause="Rows of the same text have different labels. The model can't learn both, and neither can be measured.",
        wrong='{"text": "great", "label": "good"}\n{"text": "Great!", "label": "bad"}',
        right='{"text": "great", "label": "good"}\n{"text": "Great!", "label": "good"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC384",
        title="damaged text",
        cause="Characters were lost or misread when the text was converted between encodings. A model learns to write "
        "what it reads.",
        wrong='{"text": "CafÃ©"}',
        right='{"text": "Café"}',
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC385",
        title="secret in the rows",
        cause="A row holds what looks like an API key, a password or a private key. A tuned model can repeat it to "
        "whoever asks. `data.quality.secrets` says whether that stops the plan.",
        wrong="data: {quality: {secrets: refuse}}  # a row holds a token",
        right="data: {quality: {secrets: refuse}}  # the token was taken out, and revoked",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC386",
        title="personal data in the rows",
        cause="Rows hold e-mail addresses, telephone, card or account numbers, or what presidio was asked for, and "
        "`data.quality.personal` asks for a warning or a refusal.",
        wrong="data: {quality: {personal: refuse}}  # a row holds an address",
        right="data: {quality: {personal: refuse}}  # the address was taken out",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC387",
        title="class that is not measured",
        cause="A class has training rows and no row in validation or test, so nothing tells whether it was learned.",
        wrong="data: {split: {test: 0.01}}",
        right="data: {split: {test: 0.1}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC388",
        title="annotators agree little",
        cause="The annotators agree hardly more often than chance would have it, so little can be learned.",
        wrong="data: {quality: {annotations: [ann, bob]}}",
        severity=Severity.WARNING,
    ),
    Code(
        id="FTC389",
        title="no such row to show",
        cause="The row is in another part of the data, or was left out on its way to tokens.",
        wrong="ftc tokens recipe.yaml --row 17  # which is a test row",
        right="ftc tokens recipe.yaml --row 17 --split test",
    ),
    Code(
        id="FTC381",
        title="no table of paraphrases",
        cause="The file that `data.augment.paraphrases` names has a row without text in its columns `from` and `to`.",
        wrong="phrase,other\na lot,much",
        right="from,to\na lot,much",
    ),
    Code(
        id="FTC390",
        title="unreadable configuration",
        cause="The file is no YAML or JSON that can be read safely. Anchors, merge keys and YAML 1.1 words are read; "
        "tags, several documents, and aliases that grow beyond all measure are not.",
        wrong="hooks: !!python/name:os.system",
        right="hooks: null",
    ),
    Code(
        id="FTC391",
        title="configuration of no known tool",
        cause="The keys are those of none of the tools that `ftc import` knows: Axolotl, LLaMA-Factory, torchtune, TRL "
        "and Oumi. A file that only a launcher reads, such as one for accelerate or DeepSpeed, is no recipe.",
        wrong="compute_environment: LOCAL_MACHINE",
        right="model_name_or_path: org/model\nstage: sft\nfinetuning_type: lora\ndataset: my_rows",
    ),
    Code(
        id="FTC392",
        title="no recipe comes out of it",
        cause="Something that a recipe can't do without is missing, can't be reached from here, or has no counterpart: "
        "the rows, the base model, or the method of training. A recipe that trains something else than the "
        "configuration would be worse than none.",
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
        title="class of one row that looks like a slip",
        cause="A class has a single row, and its name is one letter away from that of a large class: it is probably "
        "the same class, typed wrongly. A class of one row can't be learned and measured.",
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
        cause="A folder or a pattern stands for all data files that fit it. There has to be one, all have to be of one "
        "kind, and each stays inside the project.",
        wrong="data: {source: {path: 'shards/*.jsnl'}}",
        right="data: {source: {path: 'shards/*.jsonl'}}",
    ),
    Code(
        id="FTC399",
        title="rows break the order of time",
        cause="`data.split.time` trains on the oldest rows and measures on the newest, but rows that are alike stay in "
        "one part, so that none is trained on and measured. Some of them are newer than measured rows.",
        wrong="data: {split: {time: day}}  # a text of March stands again in May",
        right="data: {split: {time: day, together: copies}, quality: {allow_overlap: 0.1}}",
        severity=Severity.WARNING,
    ),
)
