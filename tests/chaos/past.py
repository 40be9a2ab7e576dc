"""What the processes told of attempts, and of what was decided about them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from funnel.core.delivery import Cause, State
from tests.chaos.journal import Journal, Told
from tests.chaos.post import Post, Taken

EVIDENCE, POLICY, PERSON = "evidence", "policy", "person"
APPLIED_MS = 500  # an event may wait that long for the worker that is applying others
Name = tuple[str, int]  # an attempt's: uid, number


class Past:
    """`resent` and `assumed` are decisions about unknown batches, each told before it was made."""

    def __init__(self, journal: Journal) -> None:
        self.handed = {_name(told): told for told in journal.lines("handed")}
        self.answered = {_name(told): told for told in journal.lines("answered")}
        self.settled = {_name(told): told for told in journal.lines("settled")}
        decided = journal.lines("decided")
        self.resent = [told for told in decided if told["cause"] == Cause.RESEND]
        self.assumed = [told for told in decided if told["cause"] == Cause.ASSUME]
        self._names_of: dict[str, list[Name]] = defaultdict(list)
        for name, told in self.handed.items():
            for message_id in told["messages"]:
                self._names_of[message_id].append(name)
        self._resent_of: dict[str, list[Told]] = defaultdict(list)
        for told in self.resent:
            self._resent_of[told["uid"]].append(told)

    def named(self, mail: Taken) -> Taken:
        """With the attempt that it came by: the last that had been handed over, where the provider is told none."""
        if mail.uid:
            return mail
        earlier = [name for name in self._names_of[mail.message_id] if self.handed[name]["at_ms"] <= mail.at_ms]
        uid, attempt = max(earlier, key=lambda name: self.handed[name]["at_ms"])
        return replace(mail, uid=uid, attempt=attempt)

    def decisions(self, message_id: str, now_in: str | None = None) -> list[Told]:
        """What was decided to be sent again, of the batches that this message was ever in; maybe never handed over."""
        uids = {uid for uid, _ in self._names_of[message_id]} | {now_in}
        return [told for uid in uids for told in self._resent_of.get(uid or "", ())]

    def doubt(self, mail: Taken, decided_ms: int) -> str | None:
        """Why nobody could know, when it was decided, that the attempt had brought this mail; None if they could."""
        told = self.settled.get((mail.uid, mail.attempt))
        if told is None:
            return "its answer was never recorded: a kill came before"
        if told["at_ms"] > decided_ms:
            return "its answer came after the decision"
        state = told["differing"].get(mail.message_id, told["state"])
        return (mail.fault or "no answer") if state == State.UNKNOWN else None


def excuse(post: Post, past: Past, first: Taken, again: Taken) -> tuple[str, str] | None:
    """Who decided, and the doubt, by which a mail may have gone twice; None without them."""
    if first.message_id != again.message_id or (first.uid, first.attempt) == (again.uid, again.attempt):
        return None
    if first.uid == again.uid and first.attempt > again.attempt:  # a request that was held up on its way, and overtaken
        first, again = again, first
    for told in past.decisions(first.message_id):
        started_ms = past.handed[first.uid, first.attempt]["at_ms"]
        doubt = past.doubt(first, told["at_ms"])
        if doubt and started_ms <= told["at_ms"] <= again.at_ms:
            said_ms = post.told_ms(first.uid, first.attempt)
            later = f"; the webhook told of it {said_ms - first.at_ms} ms after" if said_ms else ""
            return told["by"], f"attempt {first.attempt}: {doubt}{later}"
    return None


def undue(past: Past, post: Post, silence_ms: int, *, resends: bool) -> Iterator[str]:
    """Decisions that nothing supported when they were made, or that came too late to count."""
    yield from (f"batch {told['uid']} was assumed to be sent" for told in past.assumed if told["by"] != PERSON)
    attempts = defaultdict(set)
    for told in past.resent:
        name = _name(told)
        if told["by"] in (EVIDENCE, POLICY):
            attempts[name[0]].add(name[1])
        if told["by"] == EVIDENCE:
            told_ms = post.told_ms(*name)
            if told["now_ms"] < told["started_ms"] + silence_ms or (told_ms and told_ms < told["now_ms"] - APPLIED_MS):
                yield f"attempt {name} was sent again without evidence"
        if told["by"] == POLICY and not resends:
            yield f"attempt {name} was sent again against the policy"
    yield from (f"batch {uid} was sent again after {tried}" for uid, tried in attempts.items() if len(tried) > 1)
    yield from _blind(past)
    yield from _late(past)


def _blind(past: Past) -> Iterator[str]:
    """Attempts of which an earlier one may have been taken, and that nobody had decided about."""
    for uid, attempts in _by_batch(past).items():
        for before, attempt in pairwise(attempts):
            at_ms = past.handed[uid, attempt]["at_ms"]
            answer = past.answered.get((uid, before))
            given_back = answer and answer["state"] == State.PLANNED and answer["at_ms"] <= at_ms
            decided = any(
                told["uid"] == uid and before <= told["attempt"] < attempt and told["at_ms"] <= at_ms
                for told in past.resent
            )
            if not given_back and not decided:
                yield f"attempt {attempt} of batch {uid} was handed over, and nobody knew of attempt {before}"


def _late(past: Past) -> Iterator[str]:
    """Decisions that counted though the batch was somebody else's by then; acceptance is no decision."""
    for uid, attempts in _by_batch(past).items():
        for attempt, following in pairwise(attempts):
            told, kept = past.answered.get((uid, attempt)), past.settled.get((uid, attempt), {}).get("kept")
            decision = told and kept and (told["state"] != State.ACCEPTED or told["differing"])
            if told and decision and told["at_ms"] > past.handed[uid, following]["at_ms"]:
                yield f"attempt {attempt} of batch {uid} was settled when attempt {following} was under way"


def _by_batch(past: Past) -> dict[str, list[int]]:
    found = defaultdict(list)
    for uid, attempt in sorted(past.handed):
        found[uid].append(attempt)
    return found


def _name(told: Told) -> Name:
    return told["uid"], told["attempt"]
