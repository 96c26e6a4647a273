"""What counts as a start."""

from typing import Any

import pytest

from bookline.api.limiting import _is_start


def asked(path: str, query: str = "", method: str = "POST") -> dict[str, Any]:
    return {"method": method, "path": path, "query_string": query.encode()}


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("", True),
        ("preview=false", True),
        ("preview=nonsense", True),
        ("preview=true&preview=false", True),  # the route takes the last one, and starts
        ("preview=true", False),
        ("preview=1", False),
        ("source=auto&preview=True", False),
        ("preview=%74rue", False),
    ],
)
def test_a_preview_is_no_start_however_it_is_asked_for(query: str, counts: bool) -> None:
    assert _is_start(asked("/v2/import/file", query)) is counts


def test_a_start_is_a_post_to_a_route_that_starts() -> None:
    assert _is_start(asked("/v2/import/workflow"))
    assert not _is_start(asked("/v2/import/workflow", method="GET"))
    assert not _is_start(asked("/v2/import/retry/x"))
