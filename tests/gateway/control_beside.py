"""`toolyard up` with the control process of the tests beside it: CONFIG WORKERS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolyard import supervisor
from toolyard.platform import Process, run_loop

if __name__ == "__main__":
    environ = {**os.environ, "TOOLYARD_CONTROL": "on"}
    process = Process.prepare(Path(sys.argv[1]), environ, host=None, port=0, log_format="json")
    process.control_module = "tests.gateway.fake_control_program"
    workers = int(sys.argv[2])
    if workers == 1:
        sys.exit(run_loop(process.serve(lambda _started: None)))
    held = supervisor.reserve("127.0.0.1", 0)
    sys.exit(
        run_loop(supervisor.Supervisor(process, workers, held[0].getsockname()[1], "json").run(lambda _started: None))
    )
