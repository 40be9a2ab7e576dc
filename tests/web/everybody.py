"""People in every state that an address can be in. All addresses are equally long: only their states differ."""

from funnel.core.consent import Standing, Suppressed
from funnel.flow import erasing
from funnel.store import subscribers
from funnel.store.db import writing
from tests.web.conftest import Site

PEOPLE = {
    "new": "anna.a@example.org",
    "pending": "bert.b@example.org",
    "active": "carl.c@example.org",
    "unsubscribed": "dora.d@example.org",
    "deleted": "emil.e@example.org",
    "suppressed": "fred.f@example.org",
    "complained": "ines.i@example.org",
    "bounced": "gina.g@example.org",
    "erased": "jana.j@example.org",
    "mailed often": "hugo.h@example.org",
}
REASONS = {
    "suppressed": Suppressed.NOT_ME,
    "complained": Suppressed.COMPLAINT,
    "bounced": Suppressed.BOUNCED,
}


def invite(site: Site) -> None:
    """Everybody becomes who PEOPLE says."""
    site.other().apply(PEOPLE["pending"])
    for person in ("active", "unsubscribed", "deleted", "erased", *REASONS):
        site.other().join(PEOPLE[person])
    site.client.post(site.link(PEOPLE["unsubscribed"], "Stop"))
    site.client.post(f"{site.link(PEOPLE['deleted'], 'Stop')}/delete")
    now_ms = site.world.clock()
    with writing(site.world.tools.engine) as connection:
        for person, reason in REASONS.items():
            row = subscribers.by_hash(connection, site.world.tools.keyring.address_hashes(PEOPLE[person]))
            assert row is not None
            subscribers.set_state(connection, row.id, Standing.SUPPRESSED, now_ms)
            subscribers.suppress(connection, row.address_hash, reason, now_ms)
    assert erasing.erase(site.world.tools, PEOPLE["erased"], now_ms)
    for _ in range(5):
        site.other().apply(PEOPLE["mailed often"])
