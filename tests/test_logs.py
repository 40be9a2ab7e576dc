"""What may be logged, read off the source: ids, counts and words of our own, never what a person or provider wrote."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import MODULES, name, tree

METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log", "msg"}
# Ids and counts, and words from closed sets: a state, a class of fault, a scope that an operator named.
MAY_BE_LOGGED = {
    *("attempt", "batch", "batches", "recipients", "funnels", "port", "skew_ms", "kept"),
    *("fate", "health", "reason", "scope", "fault", "kind", "place"),
}
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
