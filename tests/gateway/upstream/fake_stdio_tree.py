"""A stubborn process tree: ignores the end of its input and SIGTERM, and leaves detached descendants behind.

Prints one JSON line with the process ids of all of it, then sleeps.
"""

import json
import os
import signal
import sys
import time


def stubborn() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def detached(depth: int, report: int) -> None:
    """Double fork with setsid: the parent in between ends, so nobody above knows the grandchild."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stubborn()
            os.write(report, f"{os.getpid()} ".encode())
            if depth:
                detached(depth - 1, report)
            os.close(report)
            time.sleep(600)
        os._exit(0)
    os.wait()


def main() -> None:
    stubborn()
    reader, writer = os.pipe()
    detached(2, writer)
    os.close(writer)
    found = b""
    while chunk := os.read(reader, 4096):
        found += chunk
    pids = [os.getpid(), *(int(pid) for pid in found.split())]
    sys.stdout.write(json.dumps({"pids": pids}) + "\n")
    sys.stdout.flush()
    if "--leave" in sys.argv:
        os._exit(3)
    while True:
        time.sleep(600)


main()
