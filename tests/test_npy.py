import errno
import json

import numpy as np
import pytest

from fashionprobe.artifacts import COMMITTED
from fashionprobe.npy import RowWriter

COLUMNS = {"a.npy": 3, "b.npy": 5}


def rows(start: int, stop: int) -> list[np.ndarray]:
    grid = np.arange(start, stop, dtype=np.float32)[:, None]
    return [grid + np.zeros(width, np.float32) for width in COLUMNS.values()]


def write(folder, *, start=0, stop=10, step=2, commit_at=()):
    with RowWriter(folder, COLUMNS, 10, step=step) as writer:
        for row in range(writer.done if start is None else start, stop, step):
            writer.append(rows(row, row + step))
            if writer.done in commit_at:
                writer.commit()
    return writer


def test_rows_are_read_by_numpy(tmp_path):
    write(tmp_path)
    for name, width in COLUMNS.items():
        array = np.load(tmp_path / name, mmap_mode="r")
        assert (array.dtype, array.shape) == (np.float32, (10, width))
        np.testing.assert_array_equal(array[:, 0], np.arange(10))


def test_a_stopped_writer_goes_on_after_its_last_commit_and_the_bytes_are_the_same(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    write(tmp_path / "whole")
    write(tmp_path / "stopped", stop=6, commit_at=(4,))
    assert write(tmp_path / "stopped", start=None).done == 10
    for name in COLUMNS:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_another_step_starts_anew(tmp_path):
    write(tmp_path, stop=6, commit_at=(6,))
    for step, done in ((2, 6), (5, 0)):
        with RowWriter(tmp_path, COLUMNS, 10, step=step) as writer:
            assert writer.done == done


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_note_whose_file_is_gone_or_cut_counts_for_nothing(tmp_path, damage):
    write(tmp_path, stop=6, commit_at=(6,))
    damage(tmp_path / "b.npy")
    with RowWriter(tmp_path, COLUMNS, 10, step=2) as writer:
        assert writer.done == 0


def test_note_is_plain_json(tmp_path):
    write(tmp_path, commit_at=(10,))
    assert json.loads((tmp_path / COMMITTED).read_text()) == {"rows": 10, "step": 2}


def test_full_disk_is_an_error_and_no_crash(tmp_path):
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    try:
        with pytest.raises(OSError) as caught, RowWriter(tmp_path, {"a.npy": 512}, 100, step=10) as writer:
            for _ in range(10):
                writer.append([np.zeros((10, 512), np.float32)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.errno == errno.EFBIG
