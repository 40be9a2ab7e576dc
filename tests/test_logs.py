"""What may be logged, read off the source: ids, counts and words of our own, never what a person or provider wrote."""

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from funnel.logs import MAY_BE_LOGGED, Lines, crash, only_known
from tests.payloads import PAYLOADS
from tests.test_architecture import MODULES, name, tree

METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log", "msg"}
# What a reason that is made at run time may hold: numbers, and what the system calls a fault.
MAY_BE_IN_A_REASON = {"code", "status", "strerror"}
TURN_ANYTHING_TO_TEXT = {"str", "repr", "format", "ascii", "vars", "asdict"}


def loggers(module: ast.Module) -> set[str]:
    """The names that a structlog logger, or one of its methods, goes by."""
    found: set[str] = set()
    for _ in range(2):  # once for the logger, once for what is made of it
        for node in ast.walk(module):
            if isinstance(node, ast.Assign) and any(
                ast.unparse(part) == "structlog.get_logger" or (isinstance(part, ast.Name) and part.id in found)
                for part in ast.walk(node.value)
            ):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def log_calls(module: ast.Module) -> Iterator[ast.Call]:
    names = loggers(module)
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if isinstance(called, ast.Name) and called.id in names:
            yield node


def faults(call: ast.Call) -> Iterator[str]:
    """What is wrong with a call that logs."""
    if len(call.args) != 1 or not (isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
        yield "the message must be one plain text"
    for keyword in call.keywords:
        if keyword.arg not in MAY_BE_LOGGED:
            yield f"{keyword.arg or '**'} may not be logged"
        for part in ast.walk(keyword.value):
            if isinstance(part, ast.JoinedStr) or (
                isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in TURN_ANYTHING_TO_TEXT
            ):
                yield f"{keyword.arg} is made of a text that may hold anything"
            if isinstance(part, ast.Name) and part.id == "error" and keyword.arg not in ("fault", "kind"):
                yield f"{keyword.arg} tells an error's own words"
        if keyword.arg in ("fault", "kind") and not ast.unparse(keyword.value).endswith((".__name__", ".fault")):
            yield f"{keyword.arg} must be the name of an error's type"


def test_the_calls_that_log_are_found() -> None:
    where = {name(module): len(list(log_calls(tree(module)))) for module in MODULES}
    assert where["funnel/hands.py"] >= 6
    assert where["funnel/worker.py"] >= 1
    assert where["funnel/web/pages.py"] >= 2


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_only_ids_and_words_of_our_own_are_logged(module: Path) -> None:
    calls = {call.lineno: list(faults(call)) for call in log_calls(tree(module))}
    assert {line: found for line, found in calls.items() if found} == {}


@pytest.mark.parametrize(
    "written",
    [
        "log.info('sent', address=row.address)",
        "log.info(f'sent to {row.id}')",
        "log.info('sent to %s', row.address)",
        "log.error('fault', fault=str(error))",
        "log.error('fault', reason=error.args[0])",
        "log.error('fault', reason=f'{answer}')",
        "log.warning('batch', **vars(row))",
        "say('batch', pattern=row.pattern)",
    ],
)
def test_what_must_not_be_logged_is_noticed(written: str) -> None:
    source = f"log = structlog.get_logger()\nsay = log.info if calm else log.warning\n{written}\n"
    assert [fault for call in log_calls(ast.parse(source)) for fault in faults(call)]


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_the_standard_librarys_log_is_only_ever_made_quieter(module: Path) -> None:
    written = {ast.unparse(node.func) for node in ast.walk(tree(module)) if isinstance(node, ast.Call)}
    used = {each for each in written if each.startswith("logging.")}
    endings = (".setLevel", ".addFilter")
    assert {each for each in used if not each.endswith(endings)} <= {"logging.getLogger", "logging.basicConfig"}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_the_reason_of_a_fate_repeats_nothing_that_was_answered(module: Path) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Fate":
            for part in (each for given in [*node.args, *node.keywords] for each in ast.walk(given)):
                if isinstance(part, ast.FormattedValue):
                    assert ast.unparse(part.value).rpartition(".")[2] in MAY_BE_IN_A_REASON, f"line {node.lineno}"


def lines_of(**fields: object) -> dict[str, object]:
    """What is written of a call that logs, by the processors that the service runs with."""
    renderer = structlog.processors.JSONRenderer()
    written = renderer(None, "info", only_known(None, "info", {"event": "sent", **fields}))
    assert isinstance(written, str)
    assert written.isprintable()
    found = json.loads(written)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_line_of_the_log_stays_one_line_whatever_is_in_it(payload: str) -> None:
    assert lines_of(reason=payload)["reason"] == payload
    record = logging.LogRecord("library", logging.WARNING, "x.py", 1, "said %s", (payload,), None)
    assert Lines().format(record).isprintable()


def test_a_field_that_may_not_be_logged_is_dropped_and_named() -> None:
    assert lines_of(address="alice@example.org", batch=3) == {"event": "sent", "batch": 3, "dropped": ["address"]}


@pytest.mark.parametrize("value", ["alice@example.org", ["alice@example.org"], [1, "x"], {"a": 1}, None, 1.5])
def test_what_should_be_an_id_or_a_count_and_is_none_is_dropped(value: object) -> None:
    assert lines_of(batches=value) == {"event": "sent", "dropped": ["batches"]}
    assert lines_of(batches=[1, 2]) == {"event": "sent", "batches": [1, 2]}


def test_a_crash_tells_where_and_of_what_kind_and_nothing_that_the_error_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = "alice" + "@example.org"
    try:
        raise ValueError(f"cannot read {secret}")
    except ValueError as error:
        crash(ValueError, error, error.__traceback__)
        caught = (ValueError, error, error.__traceback__)
    said = capsys.readouterr().err + Lines().formatException(caught)
    assert "test_logs.py" in said
    assert said.endswith("ValueError")
    assert secret not in said
