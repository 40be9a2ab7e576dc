"""Processes that really crash, set up as the service's own are: they tell kind and place, and no value."""

import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "qzcanary@example.org"
# Each way is a function `fail(told)`, which holds what somebody typed in its locals and in its error.
BEGIN = """
import asyncio, gc, logging, os, sys, threading, warnings
from funnel import logs
logs.configure()
def fail(told):
    kept = {"address": told}
    raise LookupError(f"no such reader: {kept}")
told = sys.stdin.read()
"""
LOOP = """
async def failing(told):
    fail(told)
async def main():
    {}
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
asyncio.run(main())
"""
LEFT = """
class Left:
    def __repr__(self): return told
    def __del__(self): fail(told)
Left()
"""
HANDLED = """
try:
    fail(told)
except LookupError as error:
    logging.getLogger("library").exception("%s failed: %s", told, error)
"""
ARQ = """
import arq.logs, logging.config
logging.config.dictConfig(arq.logs.default_log_config(True))
logs.configure()
try:
    fail(told)
except LookupError as error:
    logging.getLogger("arq.worker").exception("%s failed: %s", told, error)
"""
SHOWN = "sys.settrace(None); faulthandler = __import__('faulthandler'); faulthandler.dump_traceback(all_threads=True)"
WAYS = {
    "the main thread": ("fail(told)", "LookupError"),
    "one error after another": ("try: fail(told)\nexcept LookupError as e: raise OSError(told) from e", "OSError"),
    "several errors": ("raise ExceptionGroup(told, [LookupError(told)])", "ExceptionGroup"),
    "a thread": ("t = threading.Thread(target=fail, args=(told,), name=told)\nt.start()\nt.join()", "LookupError"),
    "a task that nobody awaits": (LOOP.format("asyncio.create_task(failing(told), name=told)"), "LookupError"),
    "a callback of the loop": (LOOP.format("asyncio.get_event_loop().call_soon(fail, told)"), "LookupError"),
    "a thread that a task began": (LOOP.format("asyncio.create_task(asyncio.to_thread(fail, told))"), "LookupError"),
    "a finalizer": (LEFT, "LookupError"),
    "a warning": ("warnings.warn(told, UserWarning)", "UserWarning"),
    "what a library logs": (HANDLED, "LookupError"),
    "what arq logs as it is set up by its own command line": (ARQ, "LookupError"),
    "a text that a library makes": ("logging.getLogger('library').error('for ' + told)", "library"),
    "below Python": ("def end(told): os.abort()\nend(told)", "Fatal Python error: Aborted"),
    "all frames": (SHOWN, "most recent call first"),
}  # fmt: skip


def run(code: str) -> tuple[int, str]:
    """The status and everything that is written."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], input=CANARY, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_whatever_crashes_tells_its_kind_and_place_and_no_value(way: str) -> None:
    code, kind = WAYS[way]
    _, said = run(code)
    assert kind in said
    assert '"<string>", line' in said or "<string>:" in said
    assert CANARY not in said
    assert CANARY.partition("@")[0] not in said


def test_no_core_file_is_left_with_everything_that_was_in_memory() -> None:
    assert run("import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])") == (0, "0\n")


@pytest.mark.parametrize(("said", "told"), [("'ready'", "ready"), ("'%s is ready', 'library'", "%s is ready")])
def test_what_a_library_says_word_for_word_in_its_source_is_told(tmp_path: Path, said: str, told: str) -> None:
    (tmp_path / "library.py").write_text(f"import logging\nlogging.getLogger('library').warning({said})\n")
    assert run(f"sys.path.insert(0, {str(tmp_path)!r})\nimport library") == (0, f"WARNING library {told}\n")
