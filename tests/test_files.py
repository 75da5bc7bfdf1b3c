"""Files are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caloforge.errors import FileError
from caloforge.files import atomic


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(FileError), atomic(path):
        pass  # nothing written
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match="no regular file"), atomic(pipe):
        pass
    assert pipe.is_fifo()
    with pytest.raises(FileError, match="is a folder"), atomic(tmp_path):
        pass
