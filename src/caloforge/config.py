"""Reading TOML files into validated, frozen configuration objects, with precise errors."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from caloforge.errors import CaloForgeError, FileError, InputError, did_you_mean

T = TypeVar("T")


def parse_toml(text: str, source: str, error: type[CaloForgeError] = InputError) -> dict[str, Any]:
    """Parse TOML text.

    Args:
        text: The TOML document.
        source: Its name in error messages.
        error: The class of error to raise.

    Raises:
        CaloForgeError: Of the class `error`, with line and column, if it is not valid TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{source}: not valid TOML: {problem}") from problem


def read_text(path: str | Path, what: str = "file") -> str:
    """Read a small UTF-8 text file, with errors for people.

    Raises:
        FileError: If it is missing, unreadable or not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileError(f"{what} '{path}' does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{what} '{path}' cannot be read: {error}") from error


def validate(
    kind: type[T], data: Mapping[str, Any], source: str, error: type[CaloForgeError] = InputError
) -> T:
    """Turn plain data into a validated configuration object.

    Args:
        kind: A pydantic model or a dataclass with `__pydantic_config__`.
        data: What the file says.
        source: Its name in error messages.
        error: The class of error to raise.

    Returns:
        An instance of `kind`.

    Raises:
        CaloForgeError: Of the class `error`; the message lists every problem with its place in the file, and
            the nearest known name for an unknown key.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(data))
    except ValidationError as problem:
        raise error(f"{source}: " + "; ".join(_describe_all(problem, kind, data))) from problem
    except CaloForgeError as problem:
        raise error(f"{source}: {problem}") from problem


def _describe_all(problem: ValidationError, kind: type[Any], data: Any) -> list[str]:
    """Say what is wrong, place by place; the alternatives of a union that fail at one place are one line."""
    found: dict[str, tuple[list[str], Any]] = {}
    lines: list[str] = []
    for item in problem.errors():
        where = _place(item["loc"], data, _is_about_a_key(item))
        line = _describe_key(item, where, kind)
        if line:
            lines.append(line)
        else:
            message = item["msg"].removeprefix("Value error, ")
            found.setdefault(where, ([], item["input"]))[0].append(message)
    for where, (messages, given) in found.items():
        got = "" if isinstance(given, Mapping) or not where else f" (got {given!r})"
        lines.append((f"'{where}': " if where else "") + " or ".join(dict.fromkeys(messages)) + got)
    return lines


def _is_about_a_key(item: Any) -> bool:
    return item["type"] in {"extra_forbidden", "unexpected_keyword_argument", "missing", "missing_argument"}


def _describe_key(item: Any, where: str, kind: type[Any]) -> str:
    """Say what is wrong with a key itself; empty if it is the value that is wrong."""
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        name = str(item["loc"][-1])
        return f"unknown key '{where}'{did_you_mean(name, _known_keys(kind, item['loc'][:-1]))}"
    if item["type"] in {"missing", "missing_argument"}:
        return f"key '{where}' is missing"
    if item["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        key = f"{where}.{item['ctx']['discriminator']}".replace("'", "")
        if item["type"] == "union_tag_not_found":
            return f"key '{key}' is missing"
        return f"'{key}': {item['ctx']['tag']!r} is not one of {item['ctx']['expected_tags']}"
    return ""


def _place(location: tuple[Any, ...], data: Any, ends_in_key: bool) -> str:
    """Write where in the data an error is, without the names of a union's alternatives that pydantic puts in."""
    text, node = "", data
    for number, part in enumerate(location):
        inside = isinstance(node, Mapping) and part in node
        last = number == len(location) - 1
        if isinstance(part, int):
            text += f"[{part}]"
            node = node[part] if isinstance(node, (list, tuple)) and part < len(node) else None
        elif inside or (last and ends_in_key):
            text += f".{part}" if text else str(part)
            node = node.get(part) if isinstance(node, Mapping) else None
    return text


def _known_keys(kind: type[Any], location: tuple[Any, ...]) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})

    def resolve(node: Any) -> Any:
        while "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return node

    node = resolve(schema)
    for part in location:
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = resolve({"$ref": tags[part]})
        elif isinstance(part, int):
            items = node.get("items") or (node.get("prefixItems") or [{}])[0]
            node = resolve(items)
        elif part in node.get("properties", {}):
            node = resolve(node["properties"][part])
    return list(node.get("properties", {}))
