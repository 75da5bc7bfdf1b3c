"""Writing files that are either whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caloforge.errors import FileError


def explain_os_error(error: OSError, path: str | Path) -> FileError:
    """Turn an operating system error about a path into a `FileError` that says what to do."""
    reasons = {
        errno.ENOSPC: "the disk is full: free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: "the folder does not exist",
        errno.ENOTDIR: "a part of the path is no folder",
        errno.EISDIR: "it is a folder",
    }
    return FileError(f"'{path}': {reasons.get(error.errno or 0, str(error))}")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn operating system errors inside the block into a `FileError` about `path`."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path) from error


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block ends well.

    The final name never holds a half-written file; after an error the temporary file is removed.

    Raises:
        FileError: If the folder cannot be written, the disk is full, or see `check_target`.
    """
    final = Path(path)
    check_target(final)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with writing(final):
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Refuse what a file cannot replace, before any work.

    Raises:
        FileError: If `path` is a folder, device, pipe or socket.
    """
    if path.is_dir():
        raise FileError(f"'{path}' is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        raise FileError(f"'{path}' is no regular file: give the name of a file")


@contextmanager
def prepared_folder(path: str | Path) -> Iterator[Path]:
    """Make a folder for the results of long work before the work begins; take it away again if that fails.

    Raises:
        FileError: If it cannot be made or written into.
    """
    existed = Path(path).exists()
    folder = make_folder(path)
    if not os.access(folder, os.W_OK):
        raise FileError(f"'{path}' cannot be written into: no permission")
    try:
        yield folder
    except BaseException:
        if not existed:
            with suppress(OSError):  # something is in it by now
                folder.rmdir()
        raise


def make_folder(path: str | Path) -> Path:
    """Create a folder with its parents and return it.

    Raises:
        FileError: If that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FileError(f"'{path}' exists and is no folder") from error
    except OSError as error:
        raise explain_os_error(error, path) from error
    return folder


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
