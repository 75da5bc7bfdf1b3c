"""A file under HDF5 that outlives a full disk.

HDF5 cannot recover when the operating system refuses a write: closing the file fails again, and may bring
the process down. Here the first refusal is kept for the caller to raise, and HDF5 is left to believe that
all is well until the file, which is thrown away, is closed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class GuardedFile(io.RawIOBase):
    """A new file for h5py's `fileobj` driver.

    Attributes:
        error: The first error of the operating system, after which nothing is written any more.

    Raises:
        OSError: If the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._position = 0
        self._size = 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, also beyond what could be written."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read; what was never written reads as zeros."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._position)
        done = 0
        while done < len(view) and (n := self._file.readinto(view[done:])):
            done += n
        view[done:] = bytes(len(view) - done)
        self._position += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """Write all of the data, or keep the error."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._file.seek(self._position)
                done = 0
                while done < len(view):
                    done += self._file.write(view[done:]) or 0
            except OSError as error:
                self.error = error
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the error."""
        self._size = self._position if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self.error = error
        return self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
