"""By which names the provider and the database know the same message and the same person."""

from dataclasses import dataclass

from funnel.core import links
from funnel.core.links import Use
from funnel.keyring import Keyring


@dataclass(frozen=True)
class Names:
    keyring: Keyring
    domain: str

    def of_lesson(self, delivery_id: int) -> str:
        return self._message_id(Use.LESSON_ID, delivery_id)

    def of_notice(self, notice_id: int) -> str:
        return self._message_id(Use.NOTICE_ID, notice_id)

    def hash_of(self, address: str) -> bytes:
        return self.keyring.address_hashes(address)[0]

    def _message_id(self, use: Use, subject: int) -> str:
        return f"<{links.token(self.keyring.link_key, use, subject)}@{self.domain}>"
