"""A candidate's picture from its provider, so that no reader's browser has to ask one.

Way:      api/batch_routes.py → here → CoverFetcher, ReadPicture
Rule 1:   only the address that a provider gave for this candidate is asked, with every guard that
          an import's cover has; nothing is kept.
"""

from bookline.errors import CoverRefused, Refused
from bookline.ports import CoverFetcher, ReadPicture, StoredObject
from bookline.progress.batches import Item


class CandidateCovers:
    """One for all batches."""

    def __init__(self, fetcher: CoverFetcher, read_picture: ReadPicture) -> None:
        self._fetcher = fetcher
        self._read_picture = read_picture

    async def get(self, item: Item, isbn: str) -> StoredObject:
        """The picture of the item's candidate with this ISBN-13, as its provider sends it.

        Raises: Refused (NOT_FOUND) when there is none that can be shown; TryLater when the
        provider could not be asked.
        """
        given = (one["coverUrl"] for one in item.candidates if one["isbn"] == isbn)
        url = next(given, None)
        if url is None:
            raise Refused("NOT_FOUND", f"Item {item.index} has no candidate {isbn} with a cover.")
        try:
            answer = await self._fetcher.fetch(url)
            picture = await self._read_picture(answer.body)
        except CoverRefused as refused:
            raise Refused("NOT_FOUND", f"The provider has no usable cover of {isbn}.") from refused
        return StoredObject(key=isbn, body=answer.body, content_type=picture.content_type)
