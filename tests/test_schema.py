"""JSON Schemas for editors: kept equal to what the forms say, and true of every file that ships."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from funnel.content.schema import FORMS, schemas
from tests.conftest import ROOT
from tests.example.kitchen import KITCHEN, PLANNER

FOLDER = ROOT / "docs/schema"
SHIPPED = sorted(path for path in ROOT.glob("**/sequences/*/*.toml") if ".venv" not in path.parts)


def kind(path: Path) -> str:
    name, _, locale = path.stem.partition(".")
    known = name if name in FORMS else "pattern"
    return f"{known}.locale" if locale else known


def mistakes(value: Any, schema: dict[str, Any], whole: dict[str, Any], place: str = "") -> Iterator[str]:
    """What an editor would underline, by the parts of JSON Schema that ours use."""
    if "$ref" in schema:
        schema = {**whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], **schema}
    kinds = {
        "string": str | date,
        "integer": int,
        "number": int | float,
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, kinds[each]) for each in types):
        yield f"{place}: is not {types}"
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{place}: lacks {key}" for key in schema.get("required", ()) if key not in value)
        for key, each in value.items():
            inner = known.get(key, schema.get("additionalProperties"))
            yield from mistakes(each, inner, whole, f"{place}.{key}") if inner else [f"{place}: knows no {key}"]
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from mistakes(each, schema["items"], whole, f"{place}[{number}]")
    elif isinstance(value, str) and not (
        re.search(schema.get("pattern", ""), value) and value in schema.get("enum", [value])
    ):
        yield f"{place}: {value!r} does not fit"


def test_the_schemas_in_docs_are_those_of_the_code_or_make_schema_writes_them() -> None:
    made = dict(schemas())
    assert {path.name: path.read_text("utf-8") for path in FOLDER.iterdir()} == made


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_shipped_file_names_its_schema_and_keeps_to_it(path: Path) -> None:
    text = path.read_text("utf-8")
    first = text.partition("\n")[0]
    assert first.startswith("#:schema ")
    schema = (path.parent / first.removeprefix("#:schema ")).resolve()
    assert schema == FOLDER / f"{kind(path)}.json"
    whole = json.loads(schema.read_text("utf-8"))
    assert list(mistakes(tomllib.loads(text), whole, whole)) == []


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ('wait = "2 days"', 'wait = "2 weeks"', ".lessons[2].wait: '2 weeks' does not fit"),
        ('not-before = "10:00"', 'not_before = "10:00"', ".lessons[2]: knows no not_before"),
        ("only-if = { secondary", "only-if = { mood", ".lessons[2].only-if: knows no mood"),
        ('key = "planner-fridge"\n', "", ".lessons[2]: lacks key"),
        ('"mon", "tue"', '"mon", "tuesday"', ".lessons[1].days[1]: 'tuesday' does not fit"),
        ("after-all = true", 'after-all = "yes"', ".lessons[4].after-all: is not ['boolean']"),
    ],
)
def test_an_editor_underlines_what_check_refuses(old: str, new: str, mistake: str) -> None:
    whole = json.loads((FOLDER / "pattern.json").read_text("utf-8"))
    text = KITCHEN[PLANNER].decode()
    assert old in text
    assert list(mistakes(tomllib.loads(text.replace(old, new, 1)), whole, whole)) == [mistake]
