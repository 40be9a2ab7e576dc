"""Ties a process to its parent: when the parent's pipe closes, however the parent died, the process leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 10.0
ENV = "FUNNEL_LEASHED"


def hold() -> None:
    """Makes this process leave when its standard input closes, if its parent asked for that."""
    if os.environ.get(ENV) == "1":
        threading.Thread(target=_wait_and_leave, daemon=True).start()


def _wait_and_leave() -> None:
    _until_closed()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)


def _wait_and_end(child: subprocess.Popen[bytes]) -> None:
    _until_closed()
    child.terminate()


def _until_closed() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass


def main() -> int:
    """`python -m funnel.leash COMMAND…` runs a command that knows nothing of leashes."""
    # Ctrl-C reaches the whole group, but the parent says when to stop. Blocked, not ignored: what is run here may
    # set a handler of its own, and inherits the block.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 -- our own command line
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_wait_and_end, args=(child,), daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
