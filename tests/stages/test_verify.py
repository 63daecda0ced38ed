import shutil

import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import verify


def test_whole_artifact(command, garments_root):
    code, out, _ = command("verify", "--path", garments_root / "runs/small/extract")
    assert (code, out) == (0, f"{garments_root / 'runs/small/extract'}: 3 files are as they were written\n")
    assert verify(path=str(garments_root / "tfrecords/small")).files == 5


def test_a_single_bit_is_found(garments_root, tmp_path):
    shutil.copytree(garments_root / "runs/small/extract", tmp_path / "x")
    path = tmp_path / "x/block2.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (tmp_path / "x/items.csv").unlink()
    with pytest.raises(
        UserError,
        match=r"missing or changed: block2.npy, items.csv. Make it again: fashionprobe extract with --overwrite",
    ):
        verify(path=str(tmp_path / "x"))


@pytest.mark.parametrize(("path", "found"), [("no", "nothing there"), (".", "something that no stage wrote")])
def test_what_is_no_artifact(command, path, found):
    assert command("verify", "--path", path) == (2, "", (
        f"fashionprobe: error: `{path}` must be a finished artifact. Received: {found}. "
        "Name a folder that a stage wrote, as tfrecords/NAME.\n"
    ))  # fmt: skip


def test_the_name_of_a_record_set_leads_to_its_folder(command):
    command("ingest", "--dataset", "mix", "--source", "garments", "--count", 10, "--size", 16)
    err = command("verify", "--path", "mix")[2]
    assert err.endswith("Received: nothing there. Did you mean tfrecords/mix?\n")
    assert command("verify", "--path", "tfrecords/mix")[0] == 0
