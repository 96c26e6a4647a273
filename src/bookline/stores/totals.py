"""How many books a list has in all, counted once for as long as no book changes.

Way:     library_lists.py asks → here → the catalogue
Rule 1:  a total is exact: what was counted holds only for the version of the catalogue before which
         it was counted, and every change of any process makes another one.
"""

from collections.abc import Mapping, Sequence

from bookline.stores.database import Session

KNOWN_MOST = 1_000  # our choice: totals that one process remembers
_ALL = "SELECT total FROM catalogue_size"
_VERSION = "SELECT version FROM catalogue_version"


class Totals:
    """One process' totals. ``has_versions``: the product numbers the catalogue's changes; else each
    total is counted anew.
    """

    def __init__(self, *, has_versions: bool = False) -> None:
        self._has_versions = has_versions
        self._known: dict[object, tuple[str, int]] = {}

    def of(self, session: Session, terms: Sequence[str], values: Mapping[str, object]) -> int:
        """How many books meet all the terms."""
        if not terms:
            return int(session.execute(_ALL)[0]["total"])
        if not self._has_versions:
            return _counted(session, terms, values)
        version = str(session.execute(_VERSION)[0]["version"])
        question = (*terms, *sorted(values.items()))
        known = self._known.get(question)
        if known is None or known[0] != version:
            known = (version, _counted(session, terms, values))
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            self._known[question] = known
        return known[1]


def _counted(session: Session, terms: Sequence[str], values: Mapping[str, object]) -> int:
    statement = f"SELECT count(*) AS total FROM catalogue WHERE {' AND '.join(terms)}"
    return int(session.execute(statement, values)[0]["total"])
