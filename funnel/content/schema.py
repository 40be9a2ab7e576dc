"""JSON Schemas of a funnel's TOML files, so that editors complete and check them."""

import json
from collections.abc import Iterator
from typing import Any

from funnel.content.forms import Form, FunnelForm, PatternForm, QuizForm, SupportForm
from funnel.content.spoken_forms import SpokenFunnelForm, SpokenPatternForm, SpokenQuizForm, SpokenSupportForm

FORMS: dict[str, type[Form]] = {
    "funnel": FunnelForm,
    "quiz": QuizForm,
    "pattern": PatternForm,
    "support": SupportForm,
    "funnel.locale": SpokenFunnelForm,
    "quiz.locale": SpokenQuizForm,
    "pattern.locale": SpokenPatternForm,
    "support.locale": SpokenSupportForm,
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> Iterator[tuple[str, str]]:
    """(file name, text) of each schema: funnel, quiz, pattern (every <pattern>.toml) and support, and of each one's
    translations (<pattern>.<locale>.toml)."""
    for name, form in FORMS.items():
        made = {"$schema": _DRAFT, **_plain(form.model_json_schema())}
        made["title"] = f"{name.replace('pattern', '<pattern>').replace('locale', '<locale>')}.toml"
        yield f"{name}.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _plain(node: Any) -> Any:
    """Without the titles that only repeat a key, and without null, which TOML does not have."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: {name: _plain(each) for name, each in value.items()} if key in ("properties", "$defs") else _plain(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }
    kept.pop("default", None) if kept.get("default") == {} else None
    options = [each for each in kept.get("anyOf", ()) if each != {"type": "null"}]
    return (
        {**{key: value for key, value in kept.items() if key != "anyOf"}, **options[0]} if len(options) == 1 else kept
    )
