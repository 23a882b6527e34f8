"""Names where duckdb-kql would drop them: arguments of functions, and ``where k = 1``.

``let f = (a:long, b:long) {...}; print f(b=1, a=2)`` calls by name
(https://learn.microsoft.com/kusto/query/functions/user-defined-functions#named-arguments);
duckdb-kql would bind by place. They are put into the order of the parameters; a name that can't
be one is refused, as the service does.
"""

from __future__ import annotations

from collections.abc import Iterator

from duckdb_kql.parser import parse

from .errors import semantic_error, syntax_error
from .rewrite import Node

_UNNAMED = ("WhereOperatorContext", "TakeOperatorContext")


def positional(text: str) -> str:
    """The text with every named argument at its parameter's place. Raises KustoError."""
    tree = parse(text).tree
    if not any(_nodes(tree, "NamedExpressionNameClauseContext")):
        return text
    for kind in _UNNAMED:
        for operator in _nodes(tree, kind):
            for part in operator.children:
                name, _ = _named(part)
                if name is not None:
                    raise syntax_error(
                        f"'{name} =' at {part.start.line}:{part.start.column} gives a name where "
                        "none can be; '==' compares"
                    )
    declared = dict(_functions(tree))
    edits = [
        edit
        for call in _nodes(tree, "NamedFunctionCallExpressionContext")
        if (edit := _edit(call, declared, text)) is not None
    ]
    for number, (start, stop, _) in enumerate(edits):
        if any(a <= start and stop <= b for a, b, _ in edits[:number]):
            raise semantic_error("a call with named arguments inside another isn't supported here")
    for start, stop, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[stop:]
    return text


def _functions(tree: Node) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Each function's parameters, with the text of their defaults."""
    for node in _nodes(tree, "LetFunctionDeclarationContext"):
        parameters = []
        for parameter in _nodes(node, "ScalarParameterContext"):
            defaults = list(_nodes(parameter, "ScalarParameterDefaultContext"))
            default = defaults[0].getText().lstrip("=") if defaults else None
            parameters.append((parameter.children[0].getText(), default))
        yield node.children[1].getText(), parameters


def _edit(
    call: Node, declared: dict[str, list[tuple[str, str | None]]], text: str
) -> tuple[int, int, str] | None:
    name = call.children[0].getText()
    arguments = [c for c in call.children[1:] if type(c).__name__.endswith("Context")]
    split = [_named(argument) for argument in arguments]
    if not any(key for key, _ in split):
        return None
    if name not in declared:
        raise semantic_error(f"function '{name}' has no named arguments")
    parameters = declared[name]
    given: dict[str, str] = {}
    for place, (key, value) in enumerate(split):
        if key is None and (given.keys() - {p for p, _ in parameters[:place]}):
            raise semantic_error(f"{name}(): an argument without a name follows a named one")
        if key is None and place >= len(parameters):
            raise semantic_error(f"{name}(): too many arguments")
        key = key or parameters[place][0]
        if key in given or key not in dict(parameters):
            raise semantic_error(f"{name}(): argument '{key}' is unknown or given twice")
        given[key] = text[value.start.start : value.stop.stop + 1]
    ordered = []
    for parameter, default in parameters:
        value_text = given.get(parameter, default)
        if value_text is None:
            raise semantic_error(f"{name}(): argument '{parameter}' is missing")
        ordered.append(value_text)
    return arguments[0].start.start, arguments[-1].stop.stop + 1, ", ".join(ordered)


def _named(argument: Node) -> tuple[str | None, Node]:
    """The name and the value of an argument; the name is None where it has none."""
    node = argument
    if getattr(node, "children", None) is None:
        return None, argument
    while len(node.children or ()) == 1 and type(node.children[0]).__name__.endswith("Context"):
        node = node.children[0]
    kids = list(node.children or ())
    if len(kids) == 2 and type(kids[0]).__name__ == "NamedExpressionNameClauseContext":
        return kids[0].children[0].getText(), kids[1]
    return None, argument


def _nodes(node: Node, kind: str) -> Iterator[Node]:
    if type(node).__name__ == kind:
        yield node
    for child in getattr(node, "children", None) or ():
        yield from _nodes(child, kind)
