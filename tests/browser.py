"""Finds an installed Chromium; `python -m tests.browser` installs Debian's where that is possible."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-gpu",
    "--no-first-run",
)


def find() -> str | None:
    """The path of a Chromium; CHROMIUM names another one."""
    named = os.environ.get("CHROMIUM")
    installed = next((path for name in NAMES if (path := shutil.which(name))), None)
    return named or installed or (str(MAC) if MAC.exists() else None)


def flags() -> list[str]:
    return [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)


def install() -> None:
    """Debian's package, as root. Elsewhere a sentence says what to do."""
    if find():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["apt-get", "update", "-q"], **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], **quiet)  # type: ignore[call-overload]
    if not find():
        sys.exit(
            "The browser tests need Chromium. Install it (Debian: apt install chromium), or set CHROMIUM to its path."
        )


if __name__ == "__main__":
    install()
