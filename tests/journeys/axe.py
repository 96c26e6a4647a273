"""axe-core from npm, kept in pytest's cache: what a page does wrong by WCAG's rules.

Rule 1:  a test's tool only: neither the package nor the page has it.
"""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from page_browser import DESKTOP, PHONE

VERSION = "4.10.3"
SERIOUS = {"serious", "critical"}


class NoAxe(Exception):
    """axe-core cannot be had here; the message says why."""


def read_axe(cache: Path) -> str:
    """The script's source. Raises: NoAxe."""
    kept = cache / f"axe-{VERSION}.js"
    if not kept.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise NoAxe("npm is not installed")
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fresh = Path(folder) / "axe.js"
            fresh.write_bytes(_fetch(npm, Path(folder)))
            fresh.replace(kept)  # whole or not at all: other workers read it
    return kept.read_text("utf-8")


def serious_faults(page: Any, axe: str) -> list[str]:
    """One line for each serious or critical fault of the page as it stands."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(f"{axe};0")
    answer = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [_in_words(fault) for fault in answer["violations"] if fault["impact"] in SERIOUS]


FORMS = tuple((size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark"))


def faults_in_all_forms(page: Any, axe: str) -> list[str]:
    """The same on a desk and on a phone, in light and in dark, and what needs a sideways scroll."""
    faults = []
    for size, scheme in FORMS:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            faults.append(f"{size} needs a sideways scroll")
        faults += [f"{size} {scheme} {one}" for one in serious_faults(page, axe)]
    return faults


def _in_words(fault: Any) -> str:
    places = [one["html"][:160] for one in fault["nodes"]]
    return f"{fault['impact']} {fault['id']}: {json.dumps(places)}"


def _fetch(npm: str, folder: Path) -> bytes:
    command = [npm, "pack", f"axe-core@{VERSION}", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=180, check=False)
    packed = next(folder.glob("axe-core-*.tgz"), None)
    if packed is None:
        raise NoAxe(f"npm could not fetch axe-core: {done.stderr.decode()[-200:].strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read()
