"""Several `medsync` command lines in one process, each a JSON list on stdin: loading starknet-py takes seconds.

`python -m medsync_node.demo.one_process`. After each, its exit code as a line on stdout, behind what it printed there.
Ends with stdin.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Read and run until stdin ends. Byte by byte: what follows a line is the command's that it started."""
    from medsync_node.cli import run

    while line := _line():
        code = run(json.loads(line))
        sys.stdout.write(f"{json.dumps({'exit': code})}\n")
        sys.stdout.flush()


def _line() -> bytes:
    held = b""
    while not held.endswith(b"\n"):
        one = os.read(sys.stdin.fileno(), 1)
        if not one:
            return b""
        held += one
    return held


if __name__ == "__main__":
    main()
