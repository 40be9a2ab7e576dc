"""Readers: they sign up, confirm, leave and choose through the real pages, and try again when the site is away."""

import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import urllib3

from tests.chaos.journal import now_ms
from tests.chaos.later import Later
from tests.chaos.post import Taken

LEAVES, CHOOSES = 0.015, 0.04  # what share of lessons makes their reader leave, or choose another course
AGAIN_S = 0.3
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Away(Exception):
    """The site does not answer, or not well."""


@dataclass
class Reader:
    """`left_ms` is when the site had said that no more would come; `leaving` is set before asking it to."""

    address: str
    pattern: str
    confirmed: bool = False
    leaving: bool = False
    left_ms: int | None = None
    seen: set[str] = field(default_factory=set)


class Crowd:
    def __init__(self, seed: int, later: Later, web: str, slug: str, patterns: Sequence[str]) -> None:
        self.readers: dict[str, Reader] = {}
        self.passers_by: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._draw = random.Random(seed + 2)
        self._later = later
        self._web = web
        self._slug = slug
        self._patterns = tuple(patterns)
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=15)
        self._lock = threading.Lock()

    def join(self, after_s: float) -> None:
        """Somebody who will confirm comes by."""
        pattern = self._draw.choice(self._patterns)
        reader = Reader(f"reader-{len(self.readers)}@example.org", pattern)
        self.readers[reader.address] = reader
        self._later.after(after_s, lambda: self._sign_up(reader))

    def pass_by(self) -> None:
        """Somebody signs up and never confirms: the mail to them is evidence that the provider still speaks."""
        reader = Reader(f"passer-by-{len(self.passers_by)}@example.org", self._patterns[0])
        self.passers_by.add(reader.address)
        self._later.after(0, lambda: self._sign_up(reader))

    def receive(self, mail: Taken) -> None:
        reader = self.readers.get(mail.to)
        if reader is None:
            return
        with self._lock:
            first = mail.message_id not in reader.seen
            reader.seen.add(mail.message_id)
            drawn, wait = self._draw.random(), self._draw.uniform(0.1, 1.5)
        if "c" in mail.links and first and not reader.confirmed:
            self._later.after(wait, lambda: self._confirm(reader, mail.links["c"]))
        elif mail.is_lesson and first and not reader.leaving:
            if drawn < LEAVES:
                reader.leaving = True
                self._later.after(wait, lambda: self._leave(reader, mail.links["u"]))
            elif drawn < LEAVES + CHOOSES and "o" in mail.links:
                self._later.after(wait, lambda: self._choose(reader, mail.links["o"]))

    def _sign_up(self, reader: Reader) -> float | None:
        asked = {
            "email": reader.address,
            "first_name": "Kim",
            "zone": "Europe/Berlin",
            "sensitive": "yes",
            "course": "yes",
        }
        try:
            _, kept = self._post(f"/{self._slug}/start", {})
            chosen = {"pattern": reader.pattern, "form": self._stamp("result", kept)}
            _, kept = self._post(f"/{self._slug}/choose", chosen, kept)
            status, _ = self._post(f"/{self._slug}/join", {**asked, "form": self._stamp("join", kept)}, kept)
        except Away:
            return AGAIN_S
        self._count("sign-up", status, {303})
        return None

    def _confirm(self, reader: Reader, token: str) -> float | None:
        if reader.confirmed:
            return None
        try:
            status, _ = self._post(f"/c/{token}", {})
        except Away:
            return AGAIN_S
        reader.confirmed = True
        self._count("confirmation", status, {200, 410})  # 410: another of their mails was quicker
        return None

    def _leave(self, reader: Reader, token: str) -> float | None:
        try:
            status, _ = self._post(f"/u/{token}", {"List-Unsubscribe": "One-Click"})
        except Away:
            return AGAIN_S
        reader.left_ms = now_ms()
        self._count("unsubscription", status, {200})
        return None

    def _choose(self, reader: Reader, token: str) -> float | None:
        with self._lock:
            pattern = self._draw.choice(self._patterns)
        try:
            status, _ = self._post(f"/o/{token}", {"pattern": pattern})
        except Away:
            return AGAIN_S
        self._count("change of course", status, {200, 410})  # 410: they have left, or been suppressed, meanwhile
        return None

    def _count(self, what: str, status: int, expected: set[int]) -> None:
        self.counts[what] += 1
        if status not in expected:
            raise AssertionError(f"{what}: answer {status}")

    def _stamp(self, page: str, kept: str) -> str:
        """What the form on a page proves with that it was shown to this browser."""
        shown = self._ask("GET", f"/{self._slug}/{page}", {"Cookie": kept})
        found = re.search(rb'name="form" value="([^"]+)"', shown.data)
        return found[1].decode() if found else ""

    def _post(self, path: str, form: dict[str, str], kept: str = "") -> tuple[int, str]:
        """The status, and the cookie to show with the next request."""
        answer = self._ask("POST", path, {**FORM, "Cookie": kept}, urlencode(form))
        return answer.status, answer.headers.get("Set-Cookie", kept).partition(";")[0]

    def _ask(self, method: str, path: str, headers: dict[str, str], body: str = "") -> urllib3.BaseHTTPResponse:
        """The answer. Raises Away."""
        try:
            answer = self._http.request(method, self._web + path, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError:
            self.counts["no answer"] += 1
            raise Away from None
        if answer.status >= 500:
            self.counts[f"answer {answer.status}"] += 1
            raise Away
        return answer
