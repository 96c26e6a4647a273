"""What the Worker is made of, laid into ``python_modules``: all but the entry itself.

Way:     make worker → here; wrangler and the bench take the folder as it is
Rule 1:  which of our modules go along is read from their imports, beginning at ``worker/src``: no
         list. They are ours line for line, but for what slimming.py takes away.
Rule 2:  a module that needs a third-party package stops the build: none is there in the Worker.
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from d1_schema import schemas_of_objects
from page_files import lay_page
from slimming import slim, without_types, without_unneeded, without_words

WORKER = Path(__file__).parent
SOURCES = WORKER.parent / "src"
MODULES = WORKER / "python_modules"
ENTRY = WORKER / "main"  # wrangler takes all that lies beside the entry as it is
ADAPTERS = "on_cloudflare"
UNUSED = ("asgi.py", "workers/asgi.py", "workers/wsgi.py")
PLATFORM = {"workers", "pyodide", "js", "_pyodide_entrypoint_helper", "object_schema"}
"""What the runtime and its SDK bring, and what is written here."""


def main() -> None:
    """Makes the folder anew; the SDK is fetched only where it is not there yet."""
    lay_page()
    lay_sdk()
    adapters = WORKER / "src"
    ours = {path: text_of(path) for path in closure(adapters, text_of)}
    theirs = [text_of(path) for path in (*adapters.rglob("*.py"), *ENTRY.glob("*.py"))]
    ours = without_unneeded(ours, theirs)
    needed = closure(adapters, lambda path: ours[path] if path in ours else text_of(path))
    shutil.rmtree(MODULES / "bookline", ignore_errors=True)
    shutil.rmtree(MODULES / ADAPTERS, ignore_errors=True)
    for path in needed:
        lay([path], SOURCES, lambda _, path=path: ours[path])
    lay((WORKER / "src" / ADAPTERS).rglob("*.py"), WORKER / "src")
    lines = [f"{name} = {statements!r}\n" for name, statements in schemas_of_objects().items()]
    (MODULES / "object_schema.py").write_text("".join(lines))
    size = sum((MODULES / path.relative_to(SOURCES)).stat().st_size for path in needed)
    print(f"{len(needed)} modules of ours, {size:,} bytes")


def lay(paths: Iterable[Path], root: Path, shorten: Callable[[str], str] = slim) -> None:
    """The files as they go along, each at its place below ``root``."""
    for path in paths:
        target = MODULES / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(shorten(path.read_text("utf-8")), "utf-8")


def lay_sdk() -> None:
    """Cloudflare's SDK as ``requirements.txt`` pins it."""
    wanted = (WORKER / "requirements.txt").read_text()
    stamp = MODULES / ".made-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(MODULES, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run(
        [*pip, "--no-deps", "--no-compile", "--target", MODULES, "-r", WORKER / "requirements.txt"],
        check=True,
    )
    for path in UNUSED:  # bridges to other frameworks; a Worker starts faster without them
        (MODULES / path).unlink(missing_ok=True)
    for path in MODULES.rglob("*.pyi"):
        path.unlink()
    for path in MODULES.glob("*.dist-info/*"):  # all that pip keeps but the name and version
        if path.name not in {"METADATA", "licenses"}:
            path.unlink()
    lay(MODULES.rglob("*.py"), MODULES, lambda source: without_words(without_types(source)))
    stamp.write_text(wanted)


def text_of(path: Path) -> str:
    return slim(path.read_text("utf-8"))


def closure(start: Path, text: Callable[[Path], str]) -> list[Path]:
    """Every module below ``bookline`` that those below ``start`` need, directly or not; ``text`` is
    a module's.

    Raises: SystemExit naming a module that needs a package which the Worker does not have.
    """
    own = {path.name for path in start.iterdir()}
    found: dict[Path, None] = {}
    todo = [*sorted(start.rglob("*.py")), *sorted(ENTRY.glob("*.py"))]
    while todo:
        path = todo.pop()
        for name in imported(ast.parse(text(path))):
            top = name.split(".")[0]
            if top == "bookline":
                new = [one for one in files_of(name) if one not in found]
                found.update(dict.fromkeys(new))
                todo.extend(new)
            elif top not in sys.stdlib_module_names and top not in PLATFORM | own:
                raise SystemExit(f"{path} imports {top}, which the Worker does not have")
    return sorted(found)


def imported(tree: ast.Module) -> Iterator[str]:
    """The full names of what is imported when the module is; what is imported within a function
    or for types alone is for other machines.
    """
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(name: str) -> Iterator[Path]:
    """The files that Python reads to import this name: its packages' and its own."""
    place = SOURCES
    for part in name.split("."):
        place = place / part
        if (place / "__init__.py").exists():
            yield place / "__init__.py"
        elif place.with_suffix(".py").exists():
            yield place.with_suffix(".py")


if __name__ == "__main__":
    main()
