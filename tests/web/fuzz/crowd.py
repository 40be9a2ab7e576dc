"""People who use the service while it is fuzzed, so that there are always real cookies, forms, tokens and mails."""

import itertools
import re
import threading
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx2

from tests.robot import Mail, Page, read
from tests.web.fuzz.known import LINK, Known

CONSENTS = {"sensitive": "yes", "course": "yes"}
PAUSE_S = 1.5


class Stumbled(Exception):
    """Somebody who did nothing wrong was answered with 5xx. The message says where."""


class Crowd(threading.Thread):
    """One after the other comes, takes the quiz, signs up and asks for their data; then the mails of all are read, and
    some confirm. `stumbles` holds what went wrong."""

    def __init__(self, url: str, outbox: Path, known: Known, rng: Random) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.outbox = outbox
        self.known = known
        self.rng = rng
        self.stop = threading.Event()
        self.stumbles: list[str] = []
        self.people = 0
        self._read: set[Path] = set()

    def run(self) -> None:
        for number in itertools.count():
            try:
                self.come(f"person{number}@example.org", self.rng.choice(self.known.slugs))
                self.read_mails()
            except Stumbled as error:
                self.stumbles.append(str(error))
            except httpx2.HTTPError as error:
                self.stumbles.append(f"a person's request was not answered: {type(error).__name__}")
            if self.stop.wait(PAUSE_S):
                return

    def come(self, address: str, slug: str) -> None:
        """From the article to the page that says that a mail is on its way."""
        at = f"/{slug}"
        with self._browser() as browser:
            for path in ("", "/how", "/support", "/data", "/start"):
                self._look(browser, "GET", at + path)
            shown = self._look(browser, "POST", f"{at}/start")
            while question := re.search(rf"{at}/q/\d+$", shown.url):
                shown = self._look(browser, "POST", question[0], {**_stamp(shown), **self._answer(shown)})
            patterns = [each.value for form in shown.forms for each in form.buttons if each.name == "pattern"]
            self._look(
                browser, "POST", f"{at}/choose", {**_stamp(shown), "pattern": self.rng.choice(patterns or ["fawn"])}
            )
            form = {**_stamp(self._look(browser, "GET", f"{at}/join")), "email": address, "first_name": "P", **CONSENTS}
            self._look(browser, "POST", f"{at}/join", form)
            self._look(
                browser, "POST", f"{at}/data", {"email": f"person{self.rng.randrange(self.people + 1)}@example.org"}
            )
        self.people += 1

    def read_mails(self) -> None:
        """Learns the links of new mails, and opens them as their readers would."""
        for path in sorted(self.outbox.glob("*.eml")):
            if self.stop.is_set():
                return
            if path in self._read:
                continue
            self._read.add(path)
            with suppress(FileNotFoundError):  # erased meanwhile
                self._follow(read(path))

    def _follow(self, mail: Mail) -> None:
        self.known.read(mail)
        with self._browser() as browser:
            for use, token in LINK.findall(mail.text):
                self._look(browser, "GET", f"/{use}/{token}")
                if use == "d" or (use == "c" and self.rng.randrange(4)):
                    self._look(browser, "POST", f"/{use}/{token}")

    def _answer(self, shown: Page) -> dict[str, str]:
        radios = [
            each for form in shown.forms for each in form.controls if each.kind == "radio" and each.name == "answer"
        ]
        return {"answer": self.rng.choice(radios).value} if radios else {"go": "skip"}

    def _look(self, browser: httpx2.Client, method: str, path: str, data: dict[str, str] | None = None) -> Page:
        answer = browser.request(method, path, data=data)
        if answer.status_code >= 500:
            raise Stumbled(f"{method} {path.split('/')[1]}: {answer.status_code}")
        page = Page(str(answer.url), answer.text)
        self.known.see(page, "; ".join(f"{name}={value}" for name, value in browser.cookies.items()))
        return page

    def _browser(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, follow_redirects=True, timeout=40)


def _stamp(page: Page) -> dict[str, str]:
    stamps = [each.value for form in page.forms for each in form.controls if each.name == "form"]
    return {"form": stamps[-1]} if stamps else {}
