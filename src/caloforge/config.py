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
        CaloForgeError: Of the class `error`, with line and column, if it is no valid TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{source}: no valid TOML: {problem}") from problem


def read_text(path: str | Path, what: str = "file") -> str:
    """Read a small UTF-8 text file, with errors for people.

    Raises:
        FileError: If it is missing, unreadable or no text.
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
        lines = [_describe(item, kind) for item in problem.errors()]
        raise error(f"{source}: " + "; ".join(lines)) from problem


def _describe(item: Any, kind: type[Any]) -> str:
    where = _place(item["loc"])
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        name = str(item["loc"][-1])
        return f"unknown key '{where}'{did_you_mean(name, _known_keys(kind, item['loc'][:-1]))}"
    if item["type"] in {"missing", "missing_argument"}:
        return f"key '{where}' is missing"
    message = item["msg"].removeprefix("Value error, ")
    return f"'{where}': {message} (got {item['input']!r})" if where else message


def _place(location: tuple[Any, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
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
        if isinstance(part, int):
            items = node.get("items") or (node.get("prefixItems") or [{}])[0]
            node = resolve(items)
        elif part in node.get("properties", {}):
            node = resolve(node["properties"][part])
    return list(node.get("properties", {}))
