"""`ftc chat RUN --page` with real models: the page's answers are those of the chat, and Ctrl-C ends it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from ftc import api
from tests.e2e.conftest import MakeProject


@pytest.mark.slow
def test_a_page_answers_as_the_chat_does(project: MakeProject) -> None:
    api.apply(project("generation", steps=20, evaluation="samples: 2, max_new_tokens: 8") / "recipe.yaml")
    (run,) = api.runs()
    expected = api.open_chat(run).ask("the player won", ["tuned", "base"]).texts
    command = [sys.executable, "-m", "ftc", "chat", run.record.id, "--page", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = next(found[1] for line in process.stdout if (found := re.match(r"open (\S+)", line)))
            parts = urlsplit(address)
            said = {"tuned": "", "base": ""}
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
            body = json.dumps({"line": "the player won", "subjects": ["tuned", "base"]})
            connection.request("POST", f"{parts.path}ask", body, {"Content-Type": "application/json"})
            for line in connection.getresponse().read().splitlines():
                found = json.loads(line)
                if "part" in found:
                    said[found["subject"]] += found["part"]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()  # one that has ended is left alone; one that hasn't would be waited for
    assert said == expected
