"""A world in which sequences are edited while people are in them."""

from collections.abc import Mapping

from sqlalchemy import select

from funnel.core.sequence import Funnel
from funnel.flow import signup
from funnel.flow.people import Request
from funnel.flow.publish import publish
from funnel.store import revisions
from funnel.store.db import reading
from funnel.store.tables import Record, batch, delivery, enrollment, lesson, subscriber
from tests.example.kitchen import KITCHEN, PLANNER
from tests.world import World

MAIL = '+++\nsubject = "{key}"\npreview = "p"\n+++\n{body}\n'
OTHER = "sequences/kitchen/improviser.toml"


def sequence(*rows: str, goals: str = "") -> str:
    """planner.toml with these lessons: "key | what the file says of it, separated by semicolons"."""
    head = KITCHEN[PLANNER].decode().split("[[lessons]]")[0]
    return head + "".join(_row("planner", *row.split(" | ")) for row in rows) + goals


def _row(pattern: str, key: str, rules: str) -> str:
    return f'\n[[lessons]]\nkey = "{key}"\nemail = "{pattern}/{key}.md"\n' + "\n".join(rules.split("; ")) + "\n"


class Kitchen(World):
    """`planner` is written by the test; `improviser` has the two lessons i1 and i2."""

    def write(self, *rows: str, goals: str = "", schedule: str = "", name: str = "kitchen", **bodies: str) -> None:
        """Publishes the example with this sequence for planners; `bodies` are what mails say, by key."""
        improviser = KITCHEN[OTHER].decode().split("[[lessons]]")[0]
        improviser += _row("improviser", "i1", 'wait = "0 days"') + _row("improviser", "i2", 'wait = "2 days"')
        mails = [("planner", row.split(" | ")[0]) for row in rows] + [("improviser", "i1"), ("improviser", "i2")]
        files: dict[str, bytes] = {
            **{path: held for path, held in KITCHEN.items() if "/planner/" not in path and "/improviser/" not in path},
            PLANNER: sequence(*rows, goals=goals).encode(),
            OTHER: improviser.encode(),
            **{
                f"emails/kitchen/{pattern}/{key}.md": MAIL.format(key=key, body=bodies.get(key, "Cook.")).encode()
                for pattern, key in mails
            },
        }
        head = files["sequences/kitchen/funnel.toml"].decode()
        start, end = head.index("[schedule]"), head.index("[review]")
        head = f"{head[:start]}{schedule}\n{head[end:]}".replace('slug = "kitchen"', f'slug = "{name}"')
        self._publish({**files, "sequences/kitchen/funnel.toml": head.encode()}, name)

    def _publish(self, files: Mapping[str, bytes], name: str) -> None:
        root = self.folder.parent / f"content-{len(list(self.folder.parent.glob('content-*')))}"
        for path, held in files.items():
            target = root / path.replace("/kitchen/", f"/{name}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(held)
        publish(self.tools, root, self.clock())

    def enter(
        self,
        address: str,
        pattern: str = "planner",
        secondary: str | None = None,
        zone: str = "Europe/Berlin",
        funnel: str = "kitchen",
    ) -> None:
        """Signs up for a funnel and confirms."""
        with reading(self.tools.engine) as connection:
            revision_id = revisions.current(connection)[funnel]
        asked = Request("", pattern, secondary, zone, "en")
        signup.sign_up(self.tools, revision_id, address, asked, self.clock())
        self.work()
        notices = [mail for mail in self.mails(address) if mail.path.name.startswith("notice")]
        token = self.token(notices[-1], "onfirm")
        assert signup.confirm(self.tools, token, self.clock()).state == signup.Link.DONE

    def kitchen(self) -> Funnel:
        """The example as published now."""
        with reading(self.tools.engine) as connection:
            return self.tools.current(connection)["kitchen"][1]

    def got(self, who: int = 1) -> list[str]:
        """The keys of the lessons that the subscriber number `who` was sent, in order."""
        return [row.key for row in self.sent(who)]

    def sent(self, who: int = 1) -> list[Record]:
        """(key, started_ms, id of the delivery, funnel) of what was accepted for them, in order."""
        joined = delivery.join(batch, batch.c.id == delivery.c.batch_id).join(
            lesson, lesson.c.id == delivery.c.lesson_id
        )
        found = select(lesson.c.key, batch.c.started_ms, delivery.c.id, batch.c.funnel).select_from(joined)
        found = found.where(delivery.c.subscriber_id == who, batch.c.state == "accepted", delivery.c.state.is_(None))
        with reading(self.tools.engine) as connection:
            return list(connection.execute(found.order_by(batch.c.started_ms, delivery.c.id)))

    def enrolled(self) -> list[tuple[str, str, str | None]]:
        """(pattern, state, reason) of every enrollment, in order."""
        return [(row.pattern, row.state, row.reason) for row in self.rows(enrollment)]

    def people(self) -> list[Record]:
        return self.rows(subscriber)
