"""Texts that somebody might type, publish or answer in order to become more than text."""

from urllib.parse import quote

WORD = "xq7payload"  # in every payload, so that it can be found wherever it ends up

MARKUP = [
    f"<script>{WORD}()</script>",
    f"<img src=x onerror={WORD}()>",
    f'"><svg onload={WORD}()>',
    f"' autofocus onfocus={WORD}() '",
    f"</title></style></textarea><b {WORD}>",
    f"<!--{WORD}--><iframe srcdoc={WORD}>",
    f"<a href=javascript:{WORD}()>go</a>",
    f"&lt;script&gt;{WORD}&#60;b&#62;",
    f"<style>@import '//{WORD}.example'</style>",
    f"<base href=//{WORD}.example/><form action=//{WORD}.example>",
]
LINKS = [
    f"[go](javascript:{WORD}())",
    f"[go](JaVaScRiPt&colon;{WORD}())",
    f"[go](data:text/html,{WORD})",
    f"[go](vbscript:{WORD})",
    f"![pixel](https://{WORD}.example/p.png)",
    f"[go](file:///{WORD})",
]
TEMPLATES = [
    f"{{{{ {WORD} }}}}",
    f"{{{{ first_name.__class__ }}}} {WORD}",
    f"{{% include '/etc/passwd' %}}{WORD}",
    f"{{# {WORD} #}}",
    f"${{7*7}}#{{7*7}}<%= 7*7 %>{WORD}",
    f"%(email)s %s %n {{0}} {{email!r}} {WORD}",
    f"-first_name- :first_name [%first_name%] {WORD}",
    f"%%NAME%% *|FNAME|* {WORD}",
]
HEADERS = [
    f"{WORD}\r\nBcc: bob@example.org",
    f"{WORD}\nX-Injected: yes",
    f"{WORD}\rSubject: other",
    f"{WORD}\r\n\r\n<b>body</b>",
    f"{WORD}\u2028Bcc: bob@example.org",
    f"{WORD}\u2029\x85\x0b\x0c\x1cBcc: bob@example.org",
    f"=?utf-8?q?{WORD}=0D=0ABcc:_bob=40example.org?=",
    f"{WORD}\r\n.\r\nMAIL FROM:<bob@example.org>",
    f"--=_0123456789abcdef\r\nContent-Type: text/html\r\n\r\n{WORD}",
]
LINES = [
    f"{WORD}\x1b[2J\x1b]0;title\x07",
    f'{WORD}"}}\n{{"event": "fault", "kind": "forged"}}',
    f"{WORD}\x00\x08\x7f",
    f"{WORD}\u202egpj.exe",
    f"{WORD}\u200b\u2066\ufeff\U000e0041",
    f"=cmd|'/c {WORD}'!A1",
    f"@SUM({WORD})",
    f"+{WORD}-1",
]
QUERIES = [
    f"{WORD}'; DROP TABLE subscriber; --",
    f"{WORD}' OR '1'='1",
    f'{WORD}" UNION SELECT sealed FROM subscriber --',
    f"{WORD}%' ESCAPE '_",
]
PATHS = [
    f"../../{WORD}",
    f"..%2f..%2f{WORD}",
    f"/etc/{WORD}",
    f"..\\..\\{WORD}",
    f"//{WORD}.example/",
    f"https://{WORD}.example/",
    f"\\\\{WORD}.example\\share",
    f"%2e%2e/{WORD}%00.css",
]
LONG = [WORD + "A" * 70_000, WORD + "é" * 3_000, (WORD + " ") * 400]

PAYLOADS = [*MARKUP, *LINKS, *TEMPLATES, *HEADERS, *LINES, *QUERIES, *PATHS, *LONG]


def in_path(text: str) -> str:
    """A payload as one part of a path, short enough for any server."""
    return quote(text[:2_000], safe="")


def in_header(text: str) -> bytes:
    """A payload as the value of a request's header: whatever HTTP can carry of it."""
    return text[:4_000].replace("\r", "").replace("\n", "").replace("\x00", "").encode()
