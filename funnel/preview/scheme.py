"""Makes a copy of a page or mail show itself as in light or in dark, whatever the browser itself is set to."""

SCHEMES = ("light", "dark")


def forced(text: str, scheme: str) -> str:
    """HTML or CSS whose rules for `scheme` always hold, and those for the other one never."""
    for each in SCHEMES:
        holds = "all" if each == scheme else "not all"
        text = text.replace(f"@media (prefers-color-scheme: {each})", f"@media {holds}")
        text = text.replace(f'media="(prefers-color-scheme: {each})"', f'media="{holds}"')
    text = text.replace("color-scheme: light dark", f"color-scheme: {scheme}")
    return text.replace('content="light dark"', f'content="{scheme}"')
