"""How much of each funnel is translated, and what is not."""

from collections.abc import Iterator
from pathlib import Path

from funnel import content
from funnel.core.locale import language
from funnel.runtime import NOTICES, spoken_service_mails


def coverage(folder: Path) -> Iterator[str]:
    """For each other language of each funnel, how much is translated, and every file that is not."""
    mails = spoken_service_mails(folder)
    for name, (files, funnel) in content.read_all(folder).items():
        for locale in funnel.translations:
            missing = content.untranslated(files, locale)
            missing += [
                f"emails/service/{kind}.{locale}.md" for kind in NOTICES if (kind, language(locale)) not in mails
            ]
            total = len([path for path in files if not content.locale_of(path)]) + len(NOTICES)
            yield f"{name}: {total - len(missing)} of {total} files are translated into {locale}."
            yield from (f"  {path}: is missing; {funnel.locale} is shown instead" for path in missing)
