"""The rules of the house, read off the source: who may import whom, and what no module may do."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "funnel").rglob("*.py"))
TEXTS = sorted(path for suffix in ("py", "html", "css", "js", "svg") for path in (ROOT / "funnel").rglob(f"*.{suffix}"))
LONGEST_FILE = 300
LONGEST_FUNCTION = 45
# What may be imported from funnel, by room. A room is a folder, or a file beside the folders.
MAY_IMPORT = {
    "core": {"core"},
    "content": {"content", "core", "language", "markdown"},
    "language": {"core"},
    "respondents": {"core"},
    "lint": {"content", "core", "lint", "respondents"},
    "markdown": set(),
    "keyring": set(),
    "keyfile": {"keyring"},
    "bucket": {"core"},
    "doors": {"bucket", "core"},
    "leash": set(),
    "logs": set(),
    "settings": {"core"},
    "store": {"core", "store"},
    "mail": {"core", "language", "mail", "markdown"},
    "flow": {"core", "content", "store", "mail", "keyring", "markdown", "flow"},
    "exchanges": set(),
    "runtime": {
        *("bucket", "content", "core", "doors", "exchanges", "flow", "keyfile", "keyring", "mail", "settings", "store"),
    },
    "web": {
        *("core", "doors", "flow", "language", "store", "keyring", "markdown", "presence", "respondents"),
        *("runtime", "settings", "web"),
    },
    "preview": {"content", "core", "flow", "lint", "preview", "runtime", "settings", "store", "web"},
    "answers": {"core", "flow"},
    "hands": {"answers", "core", "flow", "line", "mail", "meters", "runtime", "store"},
    "line": set(),
    "hints": {"core", "presence", "runtime", "store"},
    "presence": set(),
    "personal": {"core", "flow", "operate", "runtime", "store", "web"},
    "worker": {"core", "flow", "hands", "hints", "logs", "runtime", "settings", "store"},
    "up": {"leash", "settings"},
    "meters": {"core"},
    "simulate": {"core", "flow", "keyring", "mail", "simulate", "store"},
    "foresee": {"content", "core", "flow", "foresee", "mail", "operate", "runtime", "settings", "simulate", "store"},
    "operate": {"flow", "keyring", "mail", "runtime", "settings", "store"},
    "keeping": {"backup", "flow", "keyfile", "keyring", "operate", "presence", "runtime", "store"},
    "backup": {"store"},
    "publishing": {"content", "core", "flow", "operate", "runtime", "store"},
    "authoring": {"content", "core", "lint", "preview", "runtime", "settings"},
    "cli": {
        *("authoring", "content", "flow", "foresee", "keeping", "keyring", "leash", "logs", "operate", "personal"),
        *("publishing", "runtime", "settings", "store", "up", "web", "worker"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}
READS_ENVIRONMENT = {
    "funnel/settings.py",
    "funnel/leash.py",  # asks whether its parent holds a leash
    "funnel/up.py",  # hands the environment on to its children
}
IMPURE_MODULES = {
    *("os", "random", "secrets", "time", "asyncio", "threading", "socket", "subprocess", "pathlib", "io", "sys"),
    *("tempfile", "shutil", "urllib", "http", "logging", "uuid", "sqlite3"),
}
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today", "time_ns", "urandom", "read_text", "write_text"}


def name(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def room(module: Path) -> str:
    return module.relative_to(ROOT / "funnel").parts[0].removesuffix(".py")


def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def imported(module: Path) -> Iterator[str]:
    """Every module that is imported, wherever in the file; `from a import b` gives a.b."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(module)}:{node.lineno}: a relative import hides which room it enters"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def in_room(*rooms: str) -> list[Path]:
    return [module for module in MODULES if room(module) in rooms]


def named_calls(module: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node.lineno
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node.lineno


each_module = pytest.mark.parametrize("module", MODULES, ids=name)
each_core_module = pytest.mark.parametrize("module", in_room("core"), ids=name)


def test_every_room_has_its_rule() -> None:
    assert {room(module) for module in MODULES} == set(MAY_IMPORT)


@each_module
def test_a_room_imports_only_from_where_it_may(module: Path) -> None:
    rooms = {found.split(".")[1] for found in imported(module) if found.startswith("funnel.")}
    assert rooms <= MAY_IMPORT[room(module)]


def test_the_rules_run_one_way() -> None:
    def beyond(start: str) -> set[str]:
        found: set[str] = set()
        ends = set(MAY_IMPORT[start])
        while ends:
            found |= ends
            ends = {onward for end in ends for onward in MAY_IMPORT[end]} - found
        return found

    assert beyond("core") == {"core"}
    assert not beyond("store") & {"mail", "flow", "web", "worker", "cli"}
    assert not beyond("mail") & {"store", "flow", "web", "worker", "cli"}
    assert not beyond("flow") & {"web", "worker", "cli", "settings", "runtime"}
    assert "mail" not in MAY_IMPORT["web"]


@each_core_module
def test_core_needs_nothing_but_the_standard_library(module: Path) -> None:
    roots = {found.split(".")[0] for found in imported(module)}
    assert roots - {"funnel"} <= sys.stdlib_module_names - IMPURE_MODULES


@each_core_module
def test_core_is_pure(module: Path) -> None:
    for node in ast.walk(tree(module)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Global)
    assert [call for call in named_calls(module) if call[0] in IMPURE_CALLS] == []


@each_core_module
def test_the_dataclasses_of_core_are_frozen(module: Path) -> None:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                written = ast.unparse(decorator)
                assert not written.startswith("dataclass") or "frozen=True" in written, node.name


@pytest.mark.parametrize("module", in_room("flow", "store", "mail", "content", "lint", "respondents"), ids=name)
def test_the_middle_is_plain_functions_that_are_told_the_time(module: Path) -> None:
    assert not [node for node in ast.walk(tree(module)) if isinstance(node, ast.AsyncFunctionDef)]
    clocks = {"now", "utcnow", "today", "time_ns"}
    assert [call for call in named_calls(module) if call[0] in clocks] == []
    assert not {"time.time", "time.time_ns"} & set(imported(module))


@each_module
def test_the_environment_is_read_in_one_place(module: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ]
    assert bool(reads) == (name(module) in READS_ENVIRONMENT), reads
    assert not {"os.environ", "os.getenv"} & set(imported(module))


@pytest.mark.parametrize("module", in_room("store"), ids=name)
def test_store_never_ends_a_transaction_that_it_was_given(module: Path) -> None:
    if name(module) == "funnel/store/db.py":
        # The home of transactions. Migrations have one of their own.
        assert [call for call, _ in named_calls(module)].count("commit") == 1
        return
    assert [call for call in named_calls(module) if call[0] in ("commit", "rollback", "begin", "connect")] == []


@each_module
def test_a_module_says_what_it_is(module: Path) -> None:
    if module.read_text(encoding="utf-8").strip() and module.name != "__main__.py":
        assert ast.get_docstring(tree(module))


@each_module
def test_a_file_can_be_read_in_one_sitting(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("module", [module for module in MODULES if "migrations" not in module.parts], ids=name)
def test_a_function_fits_on_a_screen(module: Path) -> None:
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {found: lines for found, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_the_engine_is_free_of_the_topic(path: Path) -> None:
    written = path.read_text(encoding="utf-8").lower()
    keys = r"""["'](fight|flight|freeze|fawn)["']"""
    assert re.findall(rf"{keys}|erotic|doorkeeper|side door|quiet room|good host", written) == []
