"""What a careful visitor checks about a page's HTML."""

import re
from html.parser import HTMLParser

import httpx2
from markupsafe import escape

from funnel.core.sequence import Funnel

VOID = {"meta", "link", "input", "br", "img", "hr"}


class Shape(HTMLParser):
    """Elements in document order as (tag, attributes), the title, and inputs without a label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self.inline = ""
        self._open: list[str] = []
        self._labeled: list[dict[str, str | None]] = []
        self._targets: set[str | None] = set()
        self.feed(html)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [found for tag, found in self.elements if tag in tags]

    @property
    def unlabeled(self) -> list[str | None]:
        """The names of inputs that a person fills in and that no label names."""
        shown = [found for found in self.all("input", "select", "textarea") if found.get("type") != "hidden"]
        return [each.get("name") for each in shown if each not in self._labeled and each.get("id") not in self._targets]

    @property
    def checked(self) -> list[str | None]:
        return [found.get("name") for found in self.all("input", "option") if {"checked", "selected"} & set(found)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "label":
            self._targets.add(found.get("for") or "?")
        elif "label" in self._open:
            self._labeled.append(found)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "title" in self._open:
            self.title += data
        if self._open and self._open[-1] in ("script", "style"):
            self.inline += data


def is_clear(response: httpx2.Response, status: int, funnel: Funnel) -> None:
    """A refusal in the site's own look: one headline, and a way onward."""
    assert response.status_code == status, f"{response.status_code}: {response.text[:200]}"
    assert response.headers["content-type"].startswith("text/html")
    shape = Shape(response.text)
    assert funnel.title in shape.title
    assert len(shape.all("h1")) == 1
    links = {found.get("href") for found in shape.all("a")}
    assert links & {f"/{funnel.slug}", f"/{funnel.slug}/start"}


def unstamped(html: str) -> str:
    """A page's HTML but for the stamps of its forms, which differ with each browser and moment."""
    return re.sub(r'(name="form" value=)"[\w-]{32}"', r'\1""', html)


def without_inputs(html: str) -> str:
    """A page's HTML but for the values in its own inputs."""
    shape = Shape(html)
    for found in shape.all("input"):
        if value := found.get("value"):
            html = html.replace(f'value="{escape(value)}"', "")
    return html
