"""How large the runs are: the whole ones of `make chaos`, and the short ones of `make test`."""

from dataclasses import dataclass
from typing import Any

from tests.chaos.killer import Planned, Tempo
from tests.chaos.steps import ROLES, labels, labels_of_mail
from tests.chaos.trap import NAP

# Between what belongs together: deliveries and due rows, the claim and its request, the request and its answer, the
# answer and what follows from it. Whoever naps comes back when its batch is somebody else's.
SCRIPT = (
    Planned("worker", "after request"),
    Planned("worker", "before add batches"),
    Planned("web", "after activate"),
    Planned("worker", "after claim", onward="after commit"),
    Planned("worker", "before answer"),
    Planned("worker", "after record", victim="postgresql"),
    Planned("worker", "after add deliveries", onward="after commit"),
    Planned("worker", "before add deliveries"),
    Planned("web", "after add events", onward="after commit"),
    Planned("worker", "after request"),
    Planned("worker", "after enter"),
    Planned("worker", "before next due"),
    Planned("worker", "before hint", victim="valkey"),
    Planned("worker", "after record", onward="after commit"),
    Planned("worker", "after prove"),
    Planned("worker", "after lose expired"),
    Planned("worker", "after build", victim=NAP),
)


@dataclass(frozen=True)
class Plan:
    """How large a run is. `day_ms` is a course day; `drain_s` how long the end may take at most.

    `mail` is the provider, and `policy` what the funnel declares for unknown batches. The labels that are `wanted`
    must all be reached. `nudged`: the workers do not wait for their next tick.
    """

    readers: int
    join_s: float
    tempo: Tempo
    day_ms: int
    silence_ms: int
    drain_s: float
    longest_s: float
    mail: str = "sendgrid"
    policy: str = "hold"
    wanted: tuple[str, ...] = ()
    nudged: bool = False
    batch: int = 5
    faults: float = 0.2
    mute: float = 0.15
    margin_ms: int = 3_000


def whole(kills: int) -> Plan:
    """Kills everything at random and at every labelled step, about twice a second."""
    wanted = tuple(label for role in ROLES for label in labels(role, "sendgrid"))
    return _whole(kills, mail="sendgrid", silence_ms=4_000, wanted=wanted)


def untold(kills: int, mail: str, policy: str) -> Plan:
    """The same with a provider that never tells: the funnel's policy decides, or a person."""
    return _whole(kills, mail=mail, policy=policy, silence_ms=0, wanted=tuple(labels_of_mail(mail)))


def _whole(kills: int, **more: Any) -> Plan:
    tempo = Tempo(kills, kills * 3 // 2, gap_s=(0.4, 1.3), asleep_s=(0.5, 2.5))
    size: dict[str, Any] = {"readers": max(kills, 30), "join_s": kills * 0.45, "longest_s": 60 + kills * 2.5}
    return Plan(tempo=tempo, day_ms=500, drain_s=150, nudged=True, **size, **more)


def short() -> Plan:
    """A script instead of chance: a kill at each place where most could go wrong."""
    return Plan(
        readers=18, join_s=5, tempo=Tempo(len(SCRIPT), script=SCRIPT), day_ms=100, silence_ms=1_500, drain_s=90,
        longest_s=60, nudged=True, faults=0.25, mute=0.4, margin_ms=1_000,
    )  # fmt: skip
