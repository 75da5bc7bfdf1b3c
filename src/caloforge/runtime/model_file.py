"""The files of a model, `NAME.onnx` and `NAME.safetensors`: their cards, read without an engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caloforge.errors import FileError, ModelError
from caloforge.runtime.card import ModelCard, read_card

ONNX, WEIGHTS = ".onnx", ".safetensors"
"""How the files end: the graph that engines run, and the weights that training goes on from."""

_METADATA_PROPS = 14
"""Number of the field `metadata_props` in ONNX's `ModelProto` (onnx.proto3)."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


@dataclass(frozen=True)
class ModelFile:
    """A model file that is not loaded into an engine.

    Attributes:
        path: The file.
        card: What the model says about itself.
        size: In bytes.
        sha256: Hash of the file, in hexadecimal.
    """

    path: Path
    card: ModelCard
    size: int
    sha256: str

    @staticmethod
    def read(path: str | Path) -> ModelFile:
        """Read a model file of either kind.

        Raises:
            FileError: If it is missing or unreadable.
            ModelError: If it is not a model of caloforge, or broken.
        """
        content = read_content(path)
        card = read_card(metadata_of(content, str(path)), str(path))
        return ModelFile(Path(path), card, len(content), hashlib.sha256(content).hexdigest())


def read_card_of(path: str | Path) -> ModelCard:
    """Read the card of a model from its `.onnx` or its `.safetensors` file.

    Raises:
        FileError: If the file is missing or unreadable.
        ModelError: If it is not a model of caloforge, or broken.
    """
    return ModelFile.read(path).card


def read_content(path: str | Path) -> bytes:
    """Read the bytes of a model file.

    Raises:
        FileError: If it is missing or unreadable.
        ModelError: If it is empty.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FileError(f"model '{path}' does not exist") from error
    except OSError as error:
        raise FileError(f"model '{path}' cannot be read: {error.strerror}") from error
    if not content:
        raise ModelError(f"model '{path}' is empty")
    return content


def metadata_of(content: bytes, source: str) -> dict[str, str]:
    """Return the metadata of a model file, told by the ending of its name.

    Args:
        content: Bytes of the file.
        source: Its name.

    Raises:
        ModelError: If it is neither kind of file, or broken.
    """
    if source.endswith(WEIGHTS):
        return dict(_safetensors_header(content, source)[0].get("__metadata__", {}))
    try:
        entries = [value for number, value in _fields(content) if number == _METADATA_PROPS]
        texts = [{number: value.decode() for number, value in _fields(entry)} for entry in entries]
        return {text[1]: text.get(2, "") for text in texts}
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"'{source}' cannot be loaded: the file is broken or not an ONNX model") from error


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of the fields of a protocol buffer; numbers are skipped.

    Raises:
        IndexError: If it ends inside a field.
        ValueError: If it is not a protocol buffer.
    """
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            if shift > 63:
                raise ValueError(shift)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(content):
        number, kind = divmod(varint(), 8)
        if kind == _VARINT:
            varint()
        elif kind == _BYTES:
            size = varint()
            if place + size > len(content):
                raise IndexError
            yield number, content[place : place + size]
            place += size
        elif kind in {_FIXED64, _FIXED32}:
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(kind)


def _safetensors_header(content: bytes, source: str) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file and where its tensors begin."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:start]) if start <= len(content) else None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise ModelError(f"'{source}' cannot be read: the file is broken or not a safetensors file")
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (KeyError, IndexError, TypeError, ValueError):
        raise ModelError(f"'{source}' cannot be read: its header is broken") from None
    if start + max(ends, default=0) != len(content):
        raise ModelError(f"'{source}' was cut off: its tensors are not complete")
    return header, start


def with_safetensors_metadata(content: bytes, metadata: Mapping[str, str], source: str) -> bytes:
    """Return a safetensors file with other metadata; equal tensors and metadata give equal bytes.

    Args:
        content: Bytes of the file.
        metadata: Text by key.
        source: Its name, for messages.

    Raises:
        ModelError: If the file is broken.
    """
    header, start = _safetensors_header(content, source)
    header.pop("__metadata__", None)
    text = json.dumps({"__metadata__": dict(metadata), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[start:]
