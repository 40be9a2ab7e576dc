"""Sends lessons as a test, from the files as they are, with progress on the terminal."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from funnel import content
from funnel.core.delivery import Fate, State
from funnel.flow.send_test import keys_of, send_test
from funnel.preview.draft import Draft, read
from funnel.runtime import Runtime, drafting, provider_of
from funnel.settings import Settings

_SAID = {
    State.PLANNED: "could not be handed over",
    State.FAILED: "was refused",
    State.UNKNOWN: "may or may not have been sent",
}


@dataclass(frozen=True)
class Trial:
    """To whom, and which lessons of which funnel. `lesson` is one key; with neither it nor `every`, the first."""

    address: str
    funnel: str | None
    pattern: str
    lesson: str | None
    every: bool
    secondary: str | None
    pace: str


def try_out(settings: Settings, root: Path, trial: Trial, console: Console) -> str | None:
    """Sends them; None when all were taken, or else a sentence about the first that was not.

    Raises LookupError for what there is not, and ContentError for what cannot be used.
    """
    tools = drafting(settings, root)
    draft = _draft(*read(tools, root), trial.funnel)
    keys = keys_of(draft.funnel, trial.pattern, trial.lesson)
    keys = keys if trial.every or trial.lesson else keys[:1]
    traits = {"pace": trial.pace, **_secondary(draft, trial)}
    provider = provider_of(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            bar = bars.add_task("sending", total=len(keys))
            sending = (tools, provider, draft.funnel, draft.revision_id, trial.address, keys, traits, Runtime.now_ms())
            for sent in send_test(*sending):
                bars.update(bar, advance=1, description=sent.key)
                if not sent.taken:
                    return _told(sent.key, sent.fate)
    finally:
        provider.close()
    return None


def _draft(drafts: dict[str, Draft], problems: list[content.Problem], named: str | None) -> Draft:
    if named is None and len(drafts) == 1 and not problems:
        return next(iter(drafts.values()))
    if named in drafts:
        return drafts[named]
    if problems:
        raise content.ContentError(problems)
    there = ", ".join(drafts) or "none"
    raise LookupError(f"Name the funnel with --funnel; there is {there}." if named is None else f"There is {there}.")


def _secondary(draft: Draft, trial: Trial) -> dict[str, str]:
    others = [key for key in draft.funnel.patterns if key != trial.pattern]
    if trial.secondary and trial.secondary not in others:
        raise LookupError(f"A second pattern beside that one can be {', '.join(others)}.")
    return {"secondary": trial.secondary} if trial.secondary else {}


def _told(key: str, fate: Fate) -> str:
    became = _SAID.get(fate.state, fate.state.value)
    return f"{key} {became} ({fate.reason or 'no reason given'}); `funnel doctor` tells more."
