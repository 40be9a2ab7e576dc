"""What the benchmarks share: the report, how much to measure, one PostgreSQL server, and seeded databases to copy."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine

from benchmarks.crowd import Shape
from benchmarks.postgres import Server, postgresql
from benchmarks.report import Report
from benchmarks.seed import Seeded, seed
from funnel.keyring import Keyring
from funnel.store.db import open_engine
from tests.conftest import with_content

KINDS = ("sqlite", "postgresql")
KEYRING = Keyring({1: bytes(range(32))})


@dataclass
class Bench:
    """`quick` asks for sizes that take seconds and prove only that everything works. `now_ms` is when the run began."""

    report: Report
    quick: bool
    folder: Path
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    _stack: ExitStack = field(default_factory=ExitStack)
    _templates: dict[tuple[str, Shape], tuple[str, Seeded]] = field(default_factory=dict)

    @cached_property
    def server(self) -> Server:
        """The PostgreSQL of this run, started when it is first asked for."""
        found = self._stack.enter_context(postgresql(self.folder))
        self.report.versions["PostgreSQL"] = found.version
        return found

    def seeded(self, kind: str, shape: Shape) -> tuple[str, Seeded]:
        """The URL of the one database of this kind and shape, and how its seeding went.

        Who changes it copies it first, or makes this forget it.
        """
        if (kind, shape) not in self._templates:
            url = self._empty(kind)
            engine = open_engine(url)
            with_content(engine)
            seeded = seed(engine, KEYRING, shape, self.now_ms)
            engine.dispose()
            self._templates[kind, shape] = url, seeded
        return self._templates[kind, shape]

    @contextmanager
    def copy(self, kind: str, shape: Shape) -> Iterator[str]:
        """The URL of a seeded database of one's own."""
        source, _ = self.seeded(kind, shape)
        url = self._copy(kind, source)
        try:
            yield url
        finally:
            self._remove(kind, url)

    def forget(self, kind: str, shape: Shape) -> None:
        """Gives back the disk space of a seeded database."""
        self._remove(kind, self._templates.pop((kind, shape))[0])

    @contextmanager
    def engine(self, url: str) -> Iterator[Engine]:
        made = open_engine(url)
        try:
            yield made
        finally:
            made.dispose()

    def close(self) -> None:
        self._stack.close()

    def _empty(self, kind: str) -> str:
        if kind == "postgresql":
            return self.server.create()
        return f"sqlite:///{tempfile.mkdtemp(dir=self.folder)}/funnel.db"

    def _copy(self, kind: str, source: str) -> str:
        if kind == "postgresql":
            url = self.server.create(source)
            self.server.checkpoint()
            return url
        url = self._empty(kind)
        shutil.copy(source.removeprefix("sqlite:///"), url.removeprefix("sqlite:///"))
        return url

    def _remove(self, kind: str, url: str) -> None:
        if kind == "postgresql":
            self.server.drop(url)
        else:
            shutil.rmtree(Path(url.removeprefix("sqlite:///")).parent)


@contextmanager
def open_bench(*, quick: bool, folder: Path | None = None) -> Iterator[Bench]:
    """A bench whose files lie in a new folder below `folder` and are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="funnel-bench-", dir=folder, ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)  # the user that PostgreSQL runs as must be able to pass
        bench = Bench(Report(), quick, Path(made))
        try:
            yield bench
        finally:
            bench.close()
