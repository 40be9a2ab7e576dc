"""Comments that silence the lint for a line. In Markdown they are taken out before anything else reads the text."""

import re

SAYS = re.compile(r"funnel: allow ([A-Z]{2}\d{3}(?:, ?[A-Z]{2}\d{3})*)\b")
IN_MARKDOWN = re.compile(r"[ \t]*<!--[ \t]*funnel: allow [^\n]*?-->")


def strip(markdown: str) -> str:
    """The text without these comments; every line keeps its number."""
    return IN_MARKDOWN.sub("", markdown)
