"""The local outbox: a file per message, written whole and then renamed."""

import os
from pathlib import Path

from funnel.core.delivery import ACCEPTED, Fate, Report, State, Unknowns
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing

RETRY_MS = 10_000
WIDTH = 4  # writing files keeps a processor busy: more would gain nothing


class Outbox:
    """Handing over again changes nothing: a file is named for its message, and one that is there stays."""

    name = "outbox"
    width = WIDTH
    unknowns = Unknowns.REPEAT

    def __init__(self, folder: Path, batch_size: int) -> None:
        self.folder = folder
        self.batch_size = batch_size
        folder.mkdir(parents=True, exist_ok=True)

    def hand_over(self, mailing: Mailing) -> Report:
        try:
            for recipient in mailing.recipients:
                self._write(self.folder / f"{recipient.key}.eml", to_mime(mailing, recipient))
        except OSError as error:
            return Report(Fate(State.PLANNED, f"outbox: {error.strerror}", retry_ms=RETRY_MS))
        return Report(ACCEPTED)

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, path: Path, content: bytes) -> None:
        if path.exists():
            return
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)
