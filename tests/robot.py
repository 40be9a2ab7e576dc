"""A visitor without a browser: knows no ids and no routes, reads pages, follows links, fills and sends forms."""

import email
import functools
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2


@dataclass
class Control:
    """An input or button of a form, with the text of its label."""

    name: str
    kind: str
    value: str
    attributes: dict[str, str | None]
    label: str = ""


@dataclass
class Form:
    action: str
    method: str
    controls: list[Control] = field(default_factory=list)

    @property
    def buttons(self) -> list[Control]:
        return [control for control in self.controls if control.kind == "button"]


class Page(HTMLParser):
    """What a page offers: `links` as (text, target), `forms`, and its text."""

    def __init__(self, url: str, html: str) -> None:
        super().__init__()
        self.url = url
        self.html = html
        self.links: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self.labels: dict[str, str] = {}
        self.words: list[str] = []
        self._link: str | None = None
        self._link_words: list[str] = []
        self._label: list[str] | None = None
        self._label_for = ""
        self._in_label: list[Control] = []
        self._button: Control | None = None
        self.feed(html)
        for form in self.forms:
            for control in form.controls:
                control.label = control.label or self.labels.get(control.attributes.get("id") or "", "")

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self._link, self._link_words = found["href"], []
        elif tag == "form":
            self.forms.append(
                Form(urljoin(self.url, found.get("action") or ""), (found.get("method") or "get").lower())
            )
        elif tag == "label":
            self._label, self._label_for, self._in_label = [], found.get("for") or "", []
        elif tag in ("input", "button") and self.forms:
            kind = "button" if tag == "button" else found.get("type") or "text"
            control = Control(found.get("name") or "", kind, found.get("value") or "", found)
            self.forms[-1].controls.append(control)
            if tag == "button":
                self._button = control
            elif self._label is not None:
                self._in_label.append(control)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._link is not None:
            self.links.append((" ".join(" ".join(self._link_words).split()), urljoin(self.url, self._link)))
            self._link = None
        elif tag == "label" and self._label is not None:
            text = " ".join(" ".join(self._label).split())
            self.labels[self._label_for] = text
            for control in self._in_label:
                control.label = text
            self._label = None
        elif tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        data = data.replace("’", "'")
        self.words.append(data)
        if self._link is not None:
            self._link_words.append(data)
        if self._label is not None:
            self._label.append(data)
        if self._button is not None:
            self._button.label += data.strip()


class Robot:
    """One visitor with a cookie jar. `page` is what it sees."""

    def __init__(self, base_url: str) -> None:
        self.client = httpx2.Client(follow_redirects=True, timeout=10)
        self.page = self.open(base_url)

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> "Robot":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, url: str, status: int = 200) -> Page:
        return self._see(self.client.get(url), status)

    def follow(self, words: str) -> Page:
        """Follows the first link whose text holds `words`."""
        target = next((target for text, target in self.page.links if words.lower() in text.lower()), None)
        assert target, f"no link {words!r} on {self.page.url}"
        return self.open(target)

    def send(self, button: str = "", fill: dict[str, str] | None = None, pick: str = "", status: int = 200) -> Page:
        """Sends the form that has this button, filling text inputs by type or name, and choosing a radio by label.

        Checkboxes are ticked. Without `pick`, the first radio is chosen.
        """
        form = self.form_with(button)
        data: dict[str, str] = {}
        radios = [control for control in form.controls if control.kind == "radio"]
        wanted = [control for control in radios if pick.lower() in control.label.lower()] if pick else radios
        assert wanted or not pick, f"no choice {pick!r} on {self.page.url}"
        for control in form.controls:
            if control.kind in ("hidden", "email", "text"):
                data[control.name] = (fill or {}).get(control.name, (fill or {}).get(control.kind, control.value))
            elif control.kind == "checkbox":
                data[control.name] = control.value
        if wanted:
            data[wanted[0].name] = wanted[0].value
        pressed = next(control for control in form.buttons if button.lower() in control.label.lower())
        if pressed.name:
            data[pressed.name] = pressed.value
        return self._see(self.client.request(form.method.upper(), form.action, data=data), status)

    def form_with(self, button: str) -> Form:
        for form in self.page.forms:
            if any(button.lower() in control.label.lower() for control in form.buttons):
                return form
        raise AssertionError(f"no button {button!r} on {self.page.url}")

    def _see(self, response: Any, status: int) -> Page:
        assert response.status_code == status, f"{response.status_code} for {response.url}: {response.text[:300]}"
        self.page = Page(str(response.url), response.text)
        return self.page


@dataclass(frozen=True)
class Mail:
    """A message of the outbox."""

    path: Path
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def to(self) -> str:
        return str(self.message["To"])

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        assert part is not None
        return str(part.get_content())

    def link(self, words: str) -> str:
        """The target of the first link in the HTML part whose text holds `words`."""
        found = Page("", self.html)
        return next(target for text, target in found.links if words.lower() in text.lower())


def mails(folder: Path, to: str | None = None) -> list[Mail]:
    """The outbox's messages, oldest first."""
    paths = sorted(folder.glob("*.eml"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [mail for mail in map(read, paths) if to is None or mail.to == to]


@functools.lru_cache(4096)
def read(path: Path) -> Mail:
    """A message of the outbox never changes."""
    return Mail(path, email.message_from_bytes(path.read_bytes(), policy=SMTP))
