"""A job in a process of its own: `python -m tests.runtime.child ROOT NAME [CHANGES]`.

The parent has made the model and the streams; the plan comes out the same, since it depends on them alone. Each event
is one line on standard output, so that the parent can act at a known moment.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

from ftc.runtime.execution.execute import execute
from ftc.spec.documents.events import Event
from tests.runtime.jobs import reopen_job


def main() -> int:
    """Runs the job; with the exit code 0 when it is over."""
    warnings.simplefilter("error", UserWarning)
    root, name, *changes = sys.argv[1:]
    Path(root, f"pid-{os.environ.get('RANK', '0')}").write_text(str(os.getpid()))
    job = reopen_job(Path(root), **(json.loads(changes[0]) if changes else {}))

    def listen(event: Event) -> None:
        print(json.dumps(event.to_json()), flush=True)

    record = execute(job.plan, job.inputs, job.folder(name), listen)
    return 0 if record.status == "finished" else 3


if __name__ == "__main__":
    sys.exit(main())
