"""Joining shower files without unpacking their compressed cells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import h5py

from caloforge.errors import FileError
from caloforge.files import atomic
from caloforge.showers.guarded import GuardedFile


def join_files(parts: Sequence[Path], path: Path) -> None:
    """Join files of one `ShowerWriter` layout into one, in order; attributes are the first one's.

    Compressed chunks are copied as they are, where they fall on whole chunks of the joined file.

    Args:
        parts: The files; all but the last hold a whole number of chunks of showers.
        path: The file to write.

    Raises:
        FileError: If a part is broken or the file cannot be written.
    """
    if len(parts) == 1:
        with atomic(path) as temporary:
            parts[0].replace(temporary)
        return
    with atomic(path) as temporary, closing(GuardedFile(temporary)) as disk:
        with h5py.File(disk, "w") as joined:
            for index, part in enumerate(parts):
                try:
                    with h5py.File(part) as source:
                        _append(source, joined, first=index == 0)
                except (OSError, KeyError, RuntimeError) as error:
                    raise FileError(
                        f"'{path}': joining '{part}' failed: {error}; remove the folder '{part.parent}' and "
                        "run the same command again"
                    ) from error
                if disk.error is not None:
                    break
        if disk.error is not None:
            raise disk.error


def _append(source: h5py.File, joined: h5py.File, first: bool) -> None:
    if first:
        for name, value in sorted(source.attrs.items()):
            joined.attrs[name] = value
    for name in source:
        values = source[name]
        if first:
            joined.create_dataset(
                name,
                shape=(0, *values.shape[1:]),
                maxshape=values.maxshape,
                chunks=values.chunks,
                dtype=values.dtype,
                compression=values.compression,
                compression_opts=values.compression_opts,
                shuffle=values.shuffle,
                track_times=False,
            )
        _extend(values, joined[name])


def _extend(values: h5py.Dataset, joined: h5py.Dataset) -> None:
    start, length = len(joined), len(values)
    joined.resize(start + length, axis=0)
    rows = values.chunks[0]
    if start % rows or values.chunks[1:] != values.shape[1:]:
        joined[start:] = values[...]
        return
    rest = (0,) * (values.ndim - 1)
    for row in range(0, length, rows):
        mask, packed = values.id.read_direct_chunk((row, *rest))
        joined.id.write_direct_chunk((start + row, *rest), packed, mask)
