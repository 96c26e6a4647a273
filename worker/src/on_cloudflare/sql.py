"""Bookline's SQL (``:name``, ``IN :names``, ``FOR UPDATE``) as SQLite's positional ``?``."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache

LARGEST = 2**52  # an exact JavaScript number, never a BigInt; nothing that is kept is larger
_LIST = re.compile(r"\bIN (:\w+)")
_NAME = re.compile(r":(\w+)")


def positional(sql: str, values: Mapping[str, object]) -> tuple[str, list[object]]:
    """The statement's text, and its values in the order of their places."""
    text, names, lists = _translated(sql)
    return text, [_bound(values[name], is_list=name in lists) for name in names]


@cache
def _translated(sql: str) -> tuple[str, Sequence[str], frozenset[str]]:
    lists = frozenset(name[1:] for name in _LIST.findall(sql))
    text = _LIST.sub(r"IN (SELECT value FROM json_each(\1))", sql.removesuffix(" FOR UPDATE"))
    return _NAME.sub("?", text), _NAME.findall(text), lists


def _bound(value: object, *, is_list: bool) -> object:
    if is_list:
        return json.dumps(list(value))  # type: ignore[call-overload]  # a list has one place
    return min(int(value), LARGEST) if isinstance(value, int) else value
