"""What the Worker is made of, laid into ``python_modules``: all but the entry itself.

Way:     make worker → here; wrangler and the bench take the folder as it is
Rule 1:  which of our modules go along is read from their imports, beginning at ``worker/src``: no
         list. They are ours line for line, but for docstrings, comments and what types alone need.
Rule 2:  a module that needs a third-party package stops the build: none is there in the Worker.
"""

import ast
import io
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from d1_schema import schemas_of_objects
from page_files import lay_page

WORKER = Path(__file__).parent
SOURCES = WORKER.parent / "src"
MODULES = WORKER / "python_modules"
ENTRY = WORKER / "main"  # wrangler takes all that lies beside the entry as it is
ADAPTERS = "on_cloudflare"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
UNUSED = ("asgi.py", "workers/asgi.py", "workers/wsgi.py")
PLATFORM = {"workers", "pyodide", "js", "_pyodide_entrypoint_helper", "object_schema"}
"""What the runtime and its SDK bring, and what is written here."""


def main() -> None:
    """Makes the folder anew; the SDK is fetched only where it is not there yet."""
    lay_page()
    lay_sdk()
    needed = closure(WORKER / "src")
    shutil.rmtree(MODULES / "bookline", ignore_errors=True)
    shutil.rmtree(MODULES / ADAPTERS, ignore_errors=True)
    lay(needed, SOURCES)
    lay((WORKER / "src" / ADAPTERS).rglob("*.py"), WORKER / "src")
    lines = [f"{name} = {statements!r}\n" for name, statements in schemas_of_objects().items()]
    (MODULES / "object_schema.py").write_text("".join(lines))
    size = sum((MODULES / path.relative_to(SOURCES)).stat().st_size for path in needed)
    print(f"{len(needed)} modules of ours, {size:,} bytes")


def lay(paths: Iterable[Path], root: Path) -> None:
    """The files as they go along, each at its place below ``root``."""
    for path in paths:
        target = MODULES / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(without_words(path.read_text("utf-8")), "utf-8")


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
    lay(MODULES.rglob("*.py"), MODULES)
    stamp.write_text(wanted)


def closure(start: Path) -> list[Path]:
    """Every module below ``bookline`` that those below ``start`` need, directly or not.

    Raises: SystemExit naming a module that needs a package which the Worker does not have.
    """
    own = {path.name for path in start.iterdir()}
    found: dict[Path, None] = {}
    todo = [*sorted(start.rglob("*.py")), *sorted(ENTRY.glob("*.py"))]
    while todo:
        path = todo.pop()
        for name in imported(ast.parse(path.read_text("utf-8"))):
            top = name.split(".")[0]
            if top == "bookline":
                new = [one for one in files_of(name) if one not in found]
                found.update(dict.fromkeys(new))
                todo.extend(new)
            elif top not in sys.stdlib_module_names and top not in PLATFORM | own:
                raise SystemExit(f"{path} imports {top}, which the Worker does not have")
    return sorted(found)


def without_words(source: str) -> str:
    """The module without its docstrings, comments, the types of its functions and what is in its
    protocols, each line where it was: half as large.
    """
    source = without_types(source)
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            lines[line - 1] = lines[line - 1][:column].rstrip()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first] = lines[first][: node.col_offset] + '""'
            lines[first + 1 : last] = [""] * (last - first - 1)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
            first, last = node.body[0].lineno - 1, node.end_lineno or 0
            lines[first:last] = [" " * node.body[0].col_offset + "..."] + [""] * (last - first - 1)
    return "\n".join(lines) + "\n"


def without_types(source: str) -> str:
    """The module without the types of its functions' arguments and results."""
    lines = source.encode().splitlines()
    tree = ast.parse(source)
    fields = {
        id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body
    }
    others = (node for node in ast.walk(tree) if id(node) not in fields or not is_field(node))
    spans = [span for node in others for span in types_of(node, lines)]
    for line, start, end in sorted(spans, reverse=True):
        lines[line] = lines[line][:start] + lines[line][end:]
    return b"\n".join(lines).decode() + "\n"


def is_field(node: ast.AST) -> bool:
    """Whether its type says something when it runs: in a class, as a dataclass reads it."""
    return isinstance(node, ast.AnnAssign)


def types_of(node: ast.AST, lines: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """(line, from, to) of what a node says of types; not those that go over a line's end."""
    if isinstance(node, ast.arg) and node.annotation is not None:
        start, kind = node.col_offset + len(node.arg.encode()), node.annotation
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        start, kind = node.target.end_col_offset or 0, node.annotation
    elif isinstance(node, DEFINITIONS) and node.returns is not None:
        kind = node.returns
        start = lines[kind.lineno - 1].rfind(b"->", 0, kind.col_offset)
    else:
        return
    if start >= 0 and node.lineno <= kind.lineno == kind.end_lineno:
        if not isinstance(node, DEFINITIONS) and node.lineno != kind.lineno:
            return
        yield kind.lineno - 1, start, kind.end_col_offset or start


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
