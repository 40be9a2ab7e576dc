"""One mailing on its way through SMTP. Exactly one message is in doubt at a time."""

import re
from collections import deque

from funnel.core.delivery import ACCEPTED, Fate, Health, Report, State
from funnel.mail.message import Writer
from funnel.mail.provider import Mailing, Recipients
from funnel.mail.smtp_session import Broken, Opened, Opening, Session, opening

SOON_MS = 30_000
LATER_MS = 15 * 60_000
NO_CONNECTION = Fate(State.PLANNED, "connection", retry_ms=SOON_MS)
TOO_LATE = Fate(State.PLANNED, "connected too late", retry_ms=SOON_MS)
SENDER_REFUSED = Fate(State.PLANNED, "sender refused", retry_ms=LATER_MS)
BUSY = Fate(State.PLANNED, "server busy", retry_ms=SOON_MS)
NO_ADDRESS = Fate(State.FAILED, "not an address")
EVERYBODY_REFUSED = Fate(State.PLANNED, "everybody refused", retry_ms=LATER_MS)
_IN_DOUBT = Fate(State.UNKNOWN, "connection")
_SPEAKABLE = re.compile(r"[!-;=?-~]+")


class TooLate(Exception):
    """The server is ready for the first message, but no time is left to begin."""


class Window:
    """Who is still `waiting`, by place in the mailing, and what became of the others."""

    def __init__(self, mailing: Mailing) -> None:
        self._sender, self._addresses = mailing.sender_address, Recipients.of(mailing.recipients).addresses
        self._messages: dict[int, list[bytes]] = {}
        self._fates: dict[int, Fate] = {}
        self._rest, self._health = ACCEPTED, Health.FINE
        self._in_time, self._begun = mailing.in_time, False
        # All before a word is said: half as dear as one by one, with the processor's caches cold from each wait.
        parts = Writer(mailing).parts
        for place, one in enumerate(mailing.recipients):
            if _SPEAKABLE.fullmatch(one.address):
                self._messages[place] = parts(one)
            else:
                self._fates[place] = NO_ADDRESS
        self.waiting = deque(self._messages)
        if not _SPEAKABLE.fullmatch(self._sender):
            self.stop(SENDER_REFUSED, Health.REFUSING)

    def send(self, session: Session) -> bool:
        """Hands over on this connection as much as it takes. Whether it may be used again; if not, it is closed."""
        try:
            self._talk(session)
        except Broken:
            session.close()
            # With nothing in doubt, a connection that had worked may be replaced: servers end those that idle.
            if _IN_DOUBT in self._fates.values() or not session.settled:
                self.stop(NO_CONNECTION, Health.FAILING)
            return False
        except TooLate:
            session.close()  # in the midst of a message that has no byte yet: the server forgets it
            self.stop(TOO_LATE, Health.FAILING)
            return False
        except BaseException:
            session.close()
            raise
        if session.over and not session.settled:
            self.stop(BUSY, Health.BUSY)
        if session.room <= 0:
            session.quit()
        return session.room > 0

    def stop(self, rest: Fate, health: Health) -> None:
        """Whoever is waiting gets this fate."""
        self._rest, self._health = rest, health
        self.waiting.clear()

    def report(self) -> Report:
        if not self._fates:
            return Report(self._rest, health=self._health)
        if self._is_everybody_refused():
            self._fates = {
                place: fate if fate == NO_ADDRESS else EVERYBODY_REFUSED for place, fate in self._fates.items()
            }
            self._health = Health.FAILING
        fates = [self._fates.get(place, self._rest) for place in range(len(self._addresses))]
        return Report(ACCEPTED, {place: fate for place, fate in enumerate(fates) if fate != ACCEPTED}, self._health)

    def _is_everybody_refused(self) -> bool:
        """Then it may be us whom the server does not want: a relay that is closed to us, or a day's quota. A few tries
        will show; readers who were given up at once would never come back.
        """
        asked = [fate for fate in self._fates.values() if fate != NO_ADDRESS]
        complete = self._rest == ACCEPTED and len(self._fates) == len(self._addresses)
        return complete and len(asked) > 1 and all(fate.state == State.FAILED for fate in asked)

    def _talk(self, session: Session) -> None:
        session.ask(self._opening())
        while True:
            opened = session.opened()
            if opened.is_granted:
                asked = self._deliver(session)
            else:
                self._refused(session, opened)
                asked = False
            if not self.waiting or session.room <= 0:
                return
            if not asked:
                session.ask(self._opening())

    def _deliver(self, session: Session) -> bool:
        """Sends the next message. Whether the one behind it was asked for in the same breath."""
        if not self._begun and not self._in_time():
            raise TooLate
        self._begun = True
        place = self.waiting.popleft()
        message = self._messages.pop(place)
        following = self._opening() if self.waiting and session.room > 1 else None
        self._fates[place] = _IN_DOUBT
        session.deliver(message, following)
        self._fates[place] = _fate(session.answer())
        return following is not None

    def _refused(self, session: Session, opened: Opened) -> None:
        """Nothing was sent. A connection that has worked is replaced when it is over; a fresh one tells the truth."""
        code = opened.answer.code
        if opened.is_about_us:
            if code >= 500:
                self.stop(SENDER_REFUSED, Health.REFUSING)
        elif not opened.answer.is_farewell or not session.settled:
            self._fates[self.waiting.popleft()] = _fate(code)

    def _opening(self) -> Opening:
        return opening(self._sender, self._addresses[self.waiting[0]])


def _fate(code: int) -> Fate:
    if code < 400:
        return ACCEPTED
    if code < 500:
        return Fate(State.PLANNED, f"refused for now ({code})", retry_ms=LATER_MS)
    return Fate(State.FAILED, f"refused ({code})")
