"""A module as it goes along in the Worker: without what only people and type checkers read.

Way:      build.py → here
Rule 1:   each line stays where it was, so that an error in the Worker's log leads to ours.
Rule 2:   what goes: docstrings, comments, types, what is in protocols, and imports that nothing but
          types needed; functions, classes and methods that nothing names. So a module that types
          alone needed does not go along at all. Variables within functions get names of one letter.
"""

import ast
import io
import string
import symtable
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
_BY_NAME = {"locals", "vars", "dir", "eval", "exec"}
"""What finds variables by their names."""


def slim(source: str) -> str:
    """The module; it does the same."""
    kept = without_unused_imports(without_words(without_types(source)))
    return without_spaces(without_indents(with_short_names(kept)))


def without_words(source: str) -> str:
    """The module without docstrings, comments, and what is in its protocols."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            lines[line - 1] = lines[line - 1][:column].rstrip()
    for block in ast.walk(ast.parse(source)):
        body = getattr(block, "body", None)
        if not isinstance(body, list):
            continue
        words = [node for node in body if _is_text(node)]
        for node in words:
            is_all = len(words) == len(body) and node is words[0]
            _put(lines, node, " " * node.col_offset + '""' if is_all else "")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
            first, last = node.body[0].lineno - 1, node.end_lineno or 0
            lines[first:last] = [" " * node.body[0].col_offset + "..."] + [""] * (last - first - 1)
    return "\n".join(lines) + "\n"


def without_spaces(source: str) -> str:
    """The module without spaces that only make it readable. Raises: ValueError if it were another
    one by that.
    """
    lines = source.splitlines()
    spaces = []
    last = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if last is not None and last.end[0] == token.start[0] and token.string.strip():
            (line, start), (_, end) = last.end, token.start
            if start < end and not (_is_word(last.string[-1:]) and _is_word(token.string[:1])):
                spaces.append((line - 1, start, end))
        last = token if token.string.strip() else None
    for line, start, end in reversed(spaces):
        lines[line] = lines[line][:start] + lines[line][end:]
    text = "\n".join(lines) + "\n"
    if ast.dump(ast.parse(source)) != ast.dump(ast.parse(text)):
        raise ValueError("a space meant something")
    return text


def without_indents(source: str) -> str:
    """The module with one space for each level, and none within brackets. Raises: ValueError if it
    were another one by that.
    """
    lines, begun, level, is_new = source.splitlines(), {0}, 0, True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        level += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        is_new = is_new or token.type == tokenize.NEWLINE
        first, last = token.start[0], token.end[0]
        if not token.string.strip():
            continue
        if first not in begun:
            lines[first - 1] = " " * (level if is_new else 0) + lines[first - 1].lstrip()
        is_new = False
        begun.update(range(first, last + 1))  # a text's further lines stay as they are
    text = "\n".join(lines) + "\n"
    if ast.dump(ast.parse(source)) != ast.dump(ast.parse(text)):
        raise ValueError("an indent meant something")
    return text


def with_short_names(source: str) -> str:
    """The module with one letter for each variable that a function has for itself."""
    lines, spans = [line.encode() for line in source.splitlines()], set()
    for function in _outermost(ast.parse(source)):
        short = _short_names(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in short:
                at = (node.lineno - 1, node.col_offset, node.end_col_offset or 0)
                spans.add((*at, short[node.id].encode()))
    for line, start, end, name in sorted(spans, reverse=True):
        lines[line] = lines[line][:start] + name + lines[line][end:]
    return b"\n".join(lines).decode() + "\n"


def _outermost(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            yield child
        else:
            yield from _outermost(child)


def _short_names(function: ast.AST) -> Mapping[str, str]:
    """Variable → letter. Names that others may use stay, those that are a module's anywhere in the
    function, and those in f-strings, whose place older Pythons do not tell.
    """
    every = list(ast.walk(function))
    names = [node for node in every if isinstance(node, ast.Name)]
    if _BY_NAME & {node.id for node in names}:
        return {}
    stay = {node.arg for node in every if isinstance(node, ast.arg)} | _of_module(function)
    for node in every:
        if isinstance(node, ast.Nonlocal):
            stay.update(node.names)
        elif isinstance(node, ast.MatchMapping):
            stay.add(node.rest or "")
        elif isinstance(node, ast.alias):
            stay.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.JoinedStr | ast.ClassDef):
            stay.update(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
        elif isinstance(node, (*DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            stay.add(node.name or "")
    free = (sign for sign in string.ascii_letters if sign not in {node.id for node in names} | stay)
    own = dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Store))
    return dict(zip((name for name in own if name not in stay), free, strict=False))


def _of_module(function: ast.AST) -> set[str]:
    """Names that mean the module's or Python's own in some part of the function."""
    tables = [symtable.symtable(ast.unparse(function), "", "exec")]
    for table in tables:
        tables += table.get_children()
    return {one.get_name() for table in tables for one in table.get_symbols() if one.is_global()}


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign in {"_", "'", '"'}


def without_types(source: str) -> str:
    """The module without its types. A field keeps its place for one, as a dataclass looks there."""
    lines = source.encode().splitlines()
    tree = ast.parse(source)
    in_class = {
        id(one) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body
    }
    spans = [span for node in ast.walk(tree) for span in _types_of(node, lines, in_class)]
    for line, start, end, instead in sorted(spans, reverse=True):
        lines[line] = lines[line][:start] + instead + lines[line][end:]
    return b"\n".join(lines).decode() + "\n"


def without_unused_imports(source: str) -> str:
    """The module without the names that it imports and does not use."""
    tree, lines = ast.parse(source), source.splitlines()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | _exported(tree)
    for node in tree.body:
        if not isinstance(node, IMPORTS):
            continue
        kept = [one for one in node.names if (one.asname or one.name.split(".")[0]) in used]
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            kept = node.names
        node.names = kept
        _put(lines, node, ast.unparse(node) if kept else "")
    return "\n".join(lines) + "\n"


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def without_unneeded(modules: Mapping[Path, str], others: Iterable[str]) -> dict[Path, str]:
    """The modules without functions, classes and methods whose name stands nowhere but in
    themselves, also not as text; ``others`` use the modules.
    """
    left, others = dict(modules), [*others]
    while True:
        trees = {path: ast.parse(text) for path, text in left.items()}
        known = Counter(
            name for tree in (*trees.values(), *map(ast.parse, others)) for name in _names(tree)
        )
        ours = {node.name for tree in trees.values() for node in tree.body if _is_class(node)}
        made = {
            path: _without(left[path], _unneeded(tree, known, ours)) for path, tree in trees.items()
        }
        made = {path: without_unused_imports(text) for path, text in made.items()}
        if made == left:
            return left
        left = made


def _is_class(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef)


def _unneeded(tree: ast.Module, known: Counter[str], ours: set[str]) -> Iterator[ast.stmt]:
    """A method only of a class all of whose bases are ours: another's base may call it."""
    for node in tree.body:
        if not isinstance(node, (*DEFINITIONS, ast.ClassDef)):
            continue
        if _stands_alone(node, known):
            yield node
        elif isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} <= ours:
            methods = [one for one in node.body if isinstance(one, DEFINITIONS)]
            alone = [one for one in methods if one.name[:2] != "__" and _stands_alone(one, known)]
            yield from alone if len(alone) < len(node.body) else ()


def _stands_alone(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, known: Counter[str]
) -> bool:
    return known[node.name] <= Counter(_names(node))[node.name]


def _names(tree: ast.AST) -> Iterator[str]:
    """All that may stand for a function, class or method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (node.value, f"_{node.value}")


def _without(source: str, nodes: Iterable[ast.stmt]) -> str:
    lines = source.splitlines()
    for node in nodes:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)]) - 1
        lines[first : node.end_lineno] = [""] * ((node.end_lineno or first) - first)
    return "\n".join(lines) + "\n"


def _exported(tree: ast.Module) -> set[str]:
    """What ``__all__`` names; everything, where the module is there for its names alone."""
    names = [
        {one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)}
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return set().union(*names)


def _put(lines: list[str], node: ast.stmt, text: str) -> None:
    """The text in the statement's place."""
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    lines[first:last] = [text] + [""] * (last - first - 1)


def _types_of(
    node: ast.AST, lines: Sequence[bytes], in_class: set[int]
) -> Iterator[tuple[int, int, int, bytes]]:
    """(line, from, to, what stands there instead) of what a node says of types; not those that go
    over a line's end.
    """
    instead = b""
    if isinstance(node, ast.arg) and node.annotation is not None:
        start, kind = node.col_offset + len(node.arg.encode()), node.annotation
    elif isinstance(node, ast.AnnAssign) and id(node) in in_class:
        start, kind, instead = node.target.end_col_offset or 0, node.annotation, b":0"
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
        yield kind.lineno - 1, start, kind.end_col_offset or start, instead
