"""Start a command, wait until two points are stored and others have checkpoints of 150 updates or
more, and press Ctrl-C.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path


def updates(path):
    """Updates that a checkpoint names; 0 if it is gone."""
    try:
        with path.open("rb") as file:
            return int(
                json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"][
                    "update"
                ]
            )
    except (OSError, ValueError):
        return 0


folder, *command = sys.argv[1:]
process = subprocess.Popen(command)
while process.poll() is None:
    kept = {
        path.name.split(".")[0]
        for path in Path(folder, "checkpoints").glob("[!.]*.safetensors")
        if updates(path) >= 150
    }
    stored = {path.parent.name for path in Path(folder, "points").glob("*/result.json")}
    # the first group is stored as a whole, and another one has begun
    if len(stored) == 2 and kept - stored:
        process.send_signal(signal.SIGINT)
        break
    time.sleep(0.005)
sys.exit(
    0
    if process.wait() == 130
    else f"ended with {process.returncode}: it was not interrupted midway"
)
