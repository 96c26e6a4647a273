"""A watcher on his way to the object whose story he watches: the door has let him in.

Way:      routes.py, batch_routes.py → here → story.py
"""

from urllib.parse import urlencode

from workers import Response

from bookline.live.session import find_token
from on_cloudflare.http import Asked
from on_cloudflare.journal import Rooms
from on_cloudflare.story import PROTOCOL_HEADER


async def watch(asked: Asked, rooms: Rooms, story_id: str, after: int) -> Response:
    """What the story's own object answers."""
    protocol = find_token(asked.listed("sec-websocket-protocol"))[1]
    headers = {"upgrade": asked.headers.get("upgrade"), PROTOCOL_HEADER: protocol}
    told = {name: value for name, value in headers.items() if value}
    query = urlencode({"id": story_id, "after": after})
    answer: Response = await rooms.stub(story_id or "none").fetch(
        f"https://room/?{query}", headers=told
    )
    return answer
