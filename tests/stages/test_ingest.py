import csv
import os
import subprocess
import sys
import textwrap

import pytest

from fashionprobe.errors import UserError
from fashionprobe.stages import ingest


def visible(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_folder_of_pictures(tmp_path, pictures):
    records = ingest(dataset="ünï", source="folder", path=str(pictures), tfrecords_root=str(tmp_path / "törs"))
    assert records.path == tmp_path / "törs/ünï"
    assert (records.images, records.skipped, records.reused) == (24, 0, False)
    assert sum(records.splits.values()) == 24
    with (records.path / "items.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "id", "class", "split", "shard"]
    assert [int(row["row"]) for row in rows] == list(range(24))
    assert {row["class"] for row in rows} == {"cat", "dog", "日本 é"}
    assert os.fspath(records) == str(records.path)


def test_same_command_is_reused_and_another_refused(command, pictures):
    words = ("ingest", "--dataset", "x", "--source", "folder", "--path", pictures)
    _, out, _ = command(*words)
    assert out == "wrote tfrecords/x: 24 images (20 train, 2 val, 2 test). Next: fashionprobe extract --dataset x\n"
    assert command(*words, "--threads", 1)[1].startswith("reused tfrecords/x: 24 images")
    assert command(*words, "--seed", 1) == (2, "", (
        "fashionprobe: error: `tfrecords/x` must be made by the same arguments. Received: an artifact that differs "
        "(seed: 0 -> 1). Pass --overwrite to replace it, or move it away to keep it.\n"
    ))  # fmt: skip
    assert command(*words, "--seed", 1, "--overwrite")[1].startswith("wrote")


def test_bad_files_are_skipped_counted_and_listed(command, pictures, tmp_path):
    whole = (pictures / "cat/0.png").read_bytes()
    (pictures / "cat/zero.jpg").touch()
    (pictures / "cat/cut.png").write_bytes(whole[:80])
    (pictures / "dog/text.jpg").write_text("hello")
    words = ("ingest", "--dataset", "x", "--source", "folder", "--path", pictures)
    code, out, _ = command(*words)
    assert code == 0
    assert out.startswith("3 images or rows could not be used: tfrecords/x/skipped.csv\nwrote tfrecords/x: 24 images")
    with (tmp_path / "tfrecords/x/skipped.csv").open() as file:
        skipped = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert skipped.keys() == {"cat/zero.jpg", "cat/cut.png", "dog/text.jpg"}
    assert all(skipped.values())
    code, out, err = command(*words, "--strict", "--tfrecords-root", "strict")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "must be a whole image. Received:" in err
    assert visible(tmp_path / "strict") == []


def test_nothing_but_bad_files(command, tmp_path):
    (tmp_path / "bad/a").mkdir(parents=True)
    (tmp_path / "bad/a/x.png").write_text("hello")
    code, _, err = command("ingest", "--dataset", "x", "--source", "folder", "--path", "bad")
    assert (code, err.count("\n")) == (2, 1)
    assert "a/x.png" in err
    assert visible(tmp_path / "tfrecords") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--dataset a/b", "`dataset` must be a name of letters, digits, '_' and '-'. Received: 'a/b'. It becomes"),
        (
            "--dataset x",
            "`source` is missing: pass one of kaggle, folder, garments, symbols, quickdraw, xray, decoy, "
            "fashion_mnist, sprites, table. ",
        ),
        (
            "--dataset x --source folder",
            "`path` is missing: pass a folder of images, best with one sub-folder per class.",
        ),
        ("--dataset x --source foldr", "Did you mean 'folder'?"),
        ("--dataset x --source folder --path no", "Received: 'no', which does not exist. Check the spelling"),
        ("--dataset x --source garments --path no", "`path` cannot be combined with source garments"),
        ("--dataset x --source garments --count 0", "`count` must be an int in the range [1, inf). Received: 0."),
        ("--dataset x --source garments --threads 0", "`threads` must be an int in the range [1, inf)"),
        ("--dataset x --source garments --seed -1", "`seed` must be an int in the range [0, 2**32). Received: -1."),
        ("--dataset x --source garments --label colur", "Received: colur. Did you mean 'colour'?"),
        ("--dataset x --source garments --label colour --classes rad", "Received: rad. Did you mean 'red'?"),
        ("--dataset x --source garments --classes ,", "`classes` is missing: pass a name, or several as a,b."),
        ("--dataset x --source garments --split 1,2", "`split` must be three numbers"),
        ("--dataset x --source garments --rate 0.5", "`rate` cannot be combined with source garments"),
        ("--dataset symbols --marks patch", "`marks` must be for symbols one of: symbols, none. Received: patch."),
        ("--dataset x --source decoy", "`path` is missing: pass the folder of a record set. Name the"),
    ],
)
def test_bad_arguments_are_one_line_and_write_nothing(command, tmp_path, options, message):
    code, out, err = command("ingest", *options.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert visible(tmp_path) == []


def test_a_file_where_a_folder_is_needed(command, tmp_path):
    (tmp_path / "file").touch()
    options = ("--source", "garments", "--count", 10, "--size", 32)
    assert command("ingest", "--dataset", "x", *options, "--tfrecords-root", "file") == (2, "", (
        "fashionprobe: error: `file` must be readable and writable. Received: File exists. "
        "A file stands where a folder is needed: move it away, or name another folder.\n"
    ))  # fmt: skip
    (tmp_path / "tfrecords").mkdir()
    (tmp_path / "tfrecords/x").touch()
    _, _, err = command("ingest", "--dataset", "x", *options, "--overwrite")
    assert "`tfrecords/x` must be a finished artifact. Received: something that no stage wrote. Move it away" in err


@pytest.mark.parametrize("limit", [2_000, 20_000])
def test_full_disk(command, tmp_path, limit):
    resource = pytest.importorskip("resource")
    words = ("ingest", "--dataset", "x", "--source", "garments", "--count", 100, "--size", 32, "--threads", 1)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        code, out, err = command(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("fashionprobe: error: `tfrecords/incomplete.x.")
    assert "Received: File too large. " in err
    assert err.endswith("Free some space; the same command resumes after what this one finished.\n")
    assert not (tmp_path / "tfrecords/x").exists()
    assert command(*words)[1].startswith("wrote tfrecords/x: 100 images")
    assert visible(tmp_path / "tfrecords") == ["x"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can drop its rights")
def test_a_read_only_folder(tmp_path):
    script = """
        import os, sys
        from fashionprobe import cli
        words = ["ingest", "--source", "garments", "--count", "10", "--size", "32", "--dataset"]
        assert cli.main([*words, "all_modules_are_imported_now"]) == 0
        os.mkdir("tfrecords_of_root", 0o755)
        os.chmod(".", 0o755)
        os.setgid(65534)
        os.setuid(65534)
        codes = [cli.main([*words, "x", "--tfrecords-root", root]) for root in ("tfrecords_of_root", "new")]
        sys.exit(0 if codes == [2, 2] else 1)
    """
    words = [sys.executable, "-c", textwrap.dedent(script)]
    # The folders above the test's own must be passable for the other user, too.
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if parent.stat().st_uid == os.getuid() and str(parent) != "/":
            parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    for line in (first, second):
        assert "Received: Permission denied. Check the permissions, or name another folder" in line
    assert "`new`" in second
    assert visible(tmp_path / "tfrecords_of_root") == []


def test_symbols_and_a_decoy_of_them_by_command(command, tmp_path):
    code, out, _ = command("ingest", "--dataset", "symbols", "--count", 20, "--rate", 0, "--marks", "none")
    assert code == 0
    assert out.splitlines() == [
        "No image has a mark.",
        "wrote tfrecords/symbols: 20 images (14 train, 2 val, 4 test). Next: fashionprobe extract --dataset symbols",
    ]
    words = ("ingest", "--dataset", "d", "--source", "garments", "--count", 30, "--size", 32)
    assert command(*words)[0] == 0
    words = ("ingest", "--dataset", "x", "--source", "decoy", "--path", "tfrecords/d", "--label", "garment")
    code, out, _ = command(*words, "--marks", "dots", "--rate", 1)
    assert code == 0 and out.startswith("The marks lie in the lower left corner")
    with (tmp_path / "tfrecords/x/items.csv").open() as file:
        train = [row for row in csv.DictReader(file) if row["split"] == "train"]
    assert train and all(row["mark"] == row["garment"] for row in train)


def test_errors_are_user_errors_for_scripts(tmp_path):
    with pytest.raises(UserError, match=r"`source` must be one of"):
        ingest(dataset="x", source="imagenet", tfrecords_root=str(tmp_path))
