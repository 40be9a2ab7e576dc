"""The large mailbox providers, and what a mistyped domain of theirs may have meant."""

# Where most people have their mail.
LARGE = frozenset(
    {
        *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "ymail.com"),
        *("icloud.com", "me.com", "mac.com", "aol.com", "proton.me", "protonmail.com", "fastmail.com", "mail.com"),
        *("gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de", "t-online.de", "freenet.de", "posteo.de"),
        *("mailbox.org", "outlook.de", "hotmail.de", "yahoo.de", "live.de", "arcor.de", "bluewin.ch", "a1.net"),
        *("yahoo.co.uk", "hotmail.co.uk", "btinternet.com", "hotmail.fr", "orange.fr", "free.fr", "laposte.net"),
        *("yahoo.fr", "libero.it", "hotmail.it", "yahoo.it", "hotmail.es", "yahoo.es", "telefonica.net", "comcast.net"),
        *("verizon.net", "att.net", "sbcglobal.net", "bellsouth.net", "cox.net", "zoho.com", "yandex.com", "hey.com"),
    }
)
# So short that many other domains are one slip away.
_SHORT = frozenset({"me.com", "mac.com", "msn.com", "a1.net", "att.net", "cox.net", "hey.com", "free.fr"})
_TWO_SLIPS = 9  # letters from which on a domain may be two slips away: short ones resemble too many others


def meant(domain: str) -> str | None:
    """The large provider's domain that this one, in lower case, is a slip or two away from; None for all others."""
    if domain in LARGE:
        return None
    near = [(_slips(domain, known), known) for known in LARGE - _SHORT]
    near = [(slips, known) for slips, known in near if slips <= (2 if len(known) >= _TWO_SLIPS else 1)]
    nearest = sorted(near)[:2]
    if not nearest or (len(nearest) == 2 and nearest[0][0] == nearest[1][0]):  # nobody can tell which of the two
        return None
    return nearest[0][1]


def _slips(one: str, other: str) -> int:
    """How many letters were left out, added, exchanged or swapped with their neighbor; 3 for anything beyond two."""
    if abs(len(one) - len(other)) > 2:
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, row, above = row, [i], before
        for j, wanted in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                best = min(best, above[j - 2] + 1)
            row.append(best)
    return min(row[-1], 3)
