"""A marketer's desk: the example funnel on disk, whose planner's sequence is written anew and published."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from funnel import content
from funnel.core.moving import Policy
from funnel.core.schedule import DAY_MS
from funnel.core.sequence import Funnel
from funnel.flow import publish, rebooking
from funnel.flow.admission import admit
from funnel.flow.people import Request
from funnel.flow.publish import Note
from funnel.flow.signup import sign_up
from funnel.flow.tools import Tools
from funnel.store import revisions
from funnel.store.db import reading
from funnel.store.tables import due, lesson
from tests.conftest import ROOT, Clock
from tests.world import World

KITCHEN = "kitchen"
PLANNER = f"sequences/{KITCHEN}/planner.toml"
MAILS = f"emails/{KITCHEN}/planner"
MORNING = 'at = "08:30"'
_MAIL = '+++\nsubject = "{key}"\npreview = "A note."\n+++\nHello {{{{ first_name | there }}}}, this is {key}.\n'


class Desk(World):
    """The world of the example funnel. A lesson is written `key`, or `key: wait`, or `key: wait; more = "TOML"`."""

    def __init__(self, tools: Tools, clock: Clock, folder: Path) -> None:
        super().__init__(tools, clock, folder / "outbox")
        self.root = folder / "content"
        for room in ("sequences", "emails"):
            shutil.copytree(ROOT / "tests/example" / room, self.root / room)
        rules = self.root / f"sequences/{KITCHEN}/funnel.toml"
        rules.write_text(re.sub(r"\[schedule\].*?\n\n", "", rules.read_text(), flags=re.DOTALL))
        self._head = (self.root / PLANNER).read_text().split("[[lessons]]")[0]
        self._head = re.sub(r"\[\[goals\]\].*", "", self._head, flags=re.DOTALL)

    def revision_id(self) -> str:
        with reading(self.tools.engine) as connection:
            return revisions.current(connection)[KITCHEN]

    def funnel(self) -> Funnel:
        with reading(self.tools.engine) as connection:
            return self.tools.current(connection)[KITCHEN][1]

    def sign_up(self, address: str, pattern: str = "planner", secondary: str | None = None, name: str = "") -> int:
        asked = Request(name, pattern, secondary, "Europe/Berlin", "en")
        found = sign_up(self.tools, self.revision_id(), address, asked, self.clock())
        admit(self.tools, self.clock())
        return found

    def join(self, address: str, pattern: str = "planner", secondary: str | None = None, name: str = "") -> None:
        super().join(address, pattern, secondary, name)

    def write(self, *lessons: str) -> None:
        """The planner's sequence, from now on."""
        shutil.rmtree(self.root / MAILS)
        (self.root / MAILS).mkdir()
        text = self._head
        for written in lessons:
            key, _, rules = written.partition(": ")
            wait, *more = (rules or ("0 days" if key == lessons[0] == "a" else f"1 day; {MORNING}")).split("; ")
            lines = ["[[lessons]]", f'key = "{key}"', f'email = "planner/{key}.md"', f'wait = "{wait}"', *more]
            text += "\n".join(lines) + "\n\n"
            (self.root / MAILS / f"{key}.md").write_text(_MAIL.format(key=key))
        (self.root / PLANNER).write_text(text)

    def read(self) -> Funnel:
        """The funnel as it lies on the desk."""
        return content.parse(KITCHEN, content.read_folder(self.root, KITCHEN))

    def publish(self, *lessons: str, policy: Policy = Policy.GENTLE) -> str:
        """Publishes the planner's sequence, if one is given, and moves everybody."""
        if lessons:
            self.write(*lessons)
        publish.publish(self.tools, self.root, self.clock(), Note("Marge", "better", policy))
        self.move()
        return self.revision_id()

    def move(self) -> int:
        return rebooking.move_all(self.tools, self.clock, lambda _: None)

    def waits(self) -> list[tuple[str, float]]:
        """Everybody's next lesson, and in how many days it is due."""
        keys = {row.id: row.key for row in self.rows(lesson)}
        return [(keys[row.lesson_id], (row.due_ms - self.clock()) / DAY_MS) for row in self.rows(due)]

    def next_lessons(self) -> Sequence[str]:
        return [key for key, _ in self.waits()]
