"""What every mail provider is given and what it answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, Protocol, overload

from funnel.core.delivery import Report, Unknowns
from funnel.mail.compile import Template


class Recipient(NamedTuple):
    """One person's part of a mailing.

    `key` names the message for good: handing over again uses the same one. `place` is its number in the batch, for
    good: together with the batch's uid it is what the provider's events are told by.
    """

    key: str
    address: str
    message_id: str
    values: Mapping[str, str]
    headers: Mapping[str, str]
    place: int = 0


@dataclass(frozen=True)
class Recipients(Sequence[Recipient]):
    """Recipients by column, for whoever writes all of them at once. All have the same fields and headers."""

    keys: Sequence[str]
    addresses: Sequence[str]
    message_ids: Sequence[str]
    values: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[str]]
    places: Sequence[int]

    @classmethod
    def of(cls, listed: Sequence[Recipient]) -> "Recipients":
        """Their columns. Raises ValueError unless all have the same headers; a field that somebody lacks is empty."""
        if isinstance(listed, Recipients):
            return listed
        keys, addresses, message_ids, values, headers, places = zip(*listed, strict=True)
        if any(one.keys() != headers[0].keys() for one in headers):
            raise ValueError("the recipients of a mailing have the same headers")
        return cls(
            keys,
            addresses,
            message_ids,
            {name: [one.get(name, "") for one in values] for name in dict.fromkeys(chain(*values))},
            {name: [one[name] for one in headers] for name in headers[0]},
            places,
        )

    def __len__(self) -> int:
        return len(self.addresses)

    @overload
    def __getitem__(self, index: int) -> Recipient: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Recipient, ...]: ...

    def __getitem__(self, index: int | slice) -> Recipient | tuple[Recipient, ...]:
        if isinstance(index, slice):
            return tuple(self[place] for place in range(len(self))[index])
        return Recipient(
            self.keys[index],
            self.addresses[index],
            self.message_ids[index],
            {name: column[index] for name, column in self.values.items()},
            {name: column[index] for name, column in self.headers.items()},
            self.places[index],
        )

    def __iter__(self) -> Iterator[Recipient]:
        return map(self.__getitem__, range(len(self)))


def always() -> bool:
    return True


@dataclass(frozen=True)
class Mailing:
    """One attempt at handing over a batch. `uid` is random; it and `attempt` are all the provider sees of our books.

    `in_time` tells whether it may still begin. A provider asks when its connection stands, right before the first byte
    that could make the other side send a mail: looking up a name and connecting may take longer than anybody allows.
    """

    uid: str
    template: Template
    sender_name: str
    sender_address: str
    headers: Mapping[str, str]
    recipients: Sequence[Recipient]
    date_ms: int
    attempt: int = 1
    in_time: Callable[[], bool] = field(default=always, compare=False, repr=False)


class Provider(Protocol):
    """A way to send mail. `hand_over` may be called from `width` threads at once, and raises nothing.

    That many never wait for one another: whoever waits does so before a batch is started, not while its lease runs out.
    """

    @property
    def name(self) -> str: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def unknowns(self) -> Unknowns: ...

    def hand_over(self, mailing: Mailing) -> Report:
        """Hands the batch over. The report's exceptions are by index into `mailing.recipients`."""
        ...

    def close(self) -> None: ...
