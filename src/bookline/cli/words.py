"""Sentences for people, made of messages and stories. Events are values; here they get words.

Rule 1:  what a provider wrote may hold anything: control characters never reach a terminal.
"""

from bookline.cli.story import PLACES, STEPS, Story
from bookline.values import Json

STORED = {"database": "library", "kv": "fallback store"}


def clean(text: object) -> str:
    """The text with nothing in it that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in str(text))


def happened(story: Story, message: Json) -> str | None:
    """What a message says, as a line without its ISBN; None for what needs no line."""
    data = message["data"]
    match message["type"]:
        case "workflow_retry":
            return f"{_step(data):<11}{retry_words(story)}: {clean(data['error']['message'])}"
        case "workflow_warning":
            return f"{_step(data):<11}! {data['code']}: {clean(data['message'])}"
        case "workflow_resumed":
            return f"{'':<11}{resumed_words(data['by'])}"
        case "workflow_progress":
            return _milestone(story, message["status"], data)
    return None


def _milestone(story: Story, status: str, data: Json) -> str | None:
    match status:
        case "started":
            return "started"
        case "metadata_fetched":
            return f"{STEPS[0]:<11}{clean(story.name)} ({story.source})"
        case "cover_uploaded":
            return f"{STEPS[1]:<11}{data['width']} × {data['height']}"
        case "embedding_generated":
            return f"{STEPS[2]:<11}{data['dimensions']} dimensions by {clean(data['model'])}"
        case "completed":
            return f"{STEPS[3]:<11}in the {STORED[data['storedIn']]}"
    return None


def ending(story: Story) -> str:
    """How an import ended: where the book is, or why there is none."""
    if story.result is not None and story.is_good:
        warned = f" · {count(len(story.warnings), 'warning')}" if story.warnings else ""
        return f"{clean(story.name)} · {STORED[story.result['storedIn']]}{warned}"
    if story.end == "cancelled":
        return "cancelled"
    error = story.error or {"code": "INTERNAL_ERROR", "message": "it did not end"}
    return f"{error['code']}: {clean(error['message'])}"


def warning_words(warned: Json) -> str:
    return f"{_step(warned)}: {warned['code']}: {clean(warned['message'])}"


def retry_words(story: Story, now: float | None = None) -> str:
    """``retry 2 in 3 s: PROVIDER_RATE_LIMITED``; with ``now``, what is left of the wait."""
    waits = story.waits
    if waits is None:
        return ""
    seconds = waits.delay_ms / 1000 if now is None else max(0.0, waits.at - now)
    return f"retry {waits.number} in {seconds:.1f} s: {waits.code}"


def resumed_words(by: str) -> str:
    return "continues, as asked" if by == "retry" else "continues after a restart"


def count(number: int, noun: str) -> str:
    """``1 book``, ``2 books``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _step(data: Json) -> str:
    place = PLACES.get(data["step"])
    return STEPS[place] if place is not None else clean(data["step"])
