import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fashionprobe import artifacts
from fashionprobe.artifacts import Artifact, Recipe, build, changed_files, child, load, read_manifest
from fashionprobe.errors import UserError


def writer(text: str = "content", facts: dict | None = None):
    def write(folder: Path) -> dict:
        (folder / "data.txt").write_text(text)
        (folder / ".note").write_text("of an unfinished run")
        return facts or {"rows": 1}

    return write


def recipe(**arguments) -> Recipe:
    return Recipe("stage", arguments or {"seed": 0}, {"records": "a" * 64}, "w" * 64)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_artifact_holds_data_and_manifest(tmp_path):
    made = build(tmp_path / "x", recipe(), writer(), settings={"batch_size": 8})
    assert not made.reused
    assert names(tmp_path) == {"x"}
    assert {path.name for path in made.path.iterdir()} == {"data.txt", "manifest.json"}
    manifest = json.loads((made.path / "manifest.json").read_text())
    assert manifest["files"] == {"data.txt": {"size": 7, "sha256": artifacts.sha256(made.path / "data.txt")}}
    assert manifest["facts"] == {"rows": 1}
    assert manifest["run"]["settings"] == {"batch_size": 8}
    assert manifest["fingerprint"] == recipe().fingerprint == made.fingerprint


def test_files_of_sub_folders_are_listed_and_watched(tmp_path):
    def write(folder: Path) -> dict:
        (folder / "model/variables").mkdir(parents=True)
        (folder / "model/variables/data").write_text("weights")
        return {}

    made = build(tmp_path / "x", recipe(), write)
    assert [*made.manifest["files"]] == ["model/variables/data"] and changed_files(made) == []
    (made.path / "model/variables/data").write_text("Weights")
    assert changed_files(made) == ["model/variables/data"]
    (made.path / "model/variables/data").unlink()
    with pytest.raises(UserError, match="a missing or cut file"):
        load(made.path, stage="stage", remedy="")


def test_fingerprint_is_that_of_the_recipe_alone():
    assert recipe(a=1, b=(2, 3)).fingerprint == recipe(b=[2, 3], a=1).fingerprint
    assert recipe(a=1).fingerprint != recipe(a=2).fingerprint


def test_same_recipe_is_reused_and_not_written_again(tmp_path):
    build(tmp_path / "x", recipe(), writer())
    before = (tmp_path / "x/data.txt").stat()
    again = build(tmp_path / "x", recipe(), writer("other"))
    assert again.reused
    assert (tmp_path / "x/data.txt").stat().st_mtime_ns == before.st_mtime_ns


def test_another_recipe_is_refused_with_all_that_changed(tmp_path):
    build(tmp_path / "x", recipe(seed=0, fit="pad"), writer())
    other = Recipe("stage", {"seed": 1, "fit": "pad", "new": 2}, {"records": "b" * 64}, "v" * 64)
    with pytest.raises(UserError) as caught:
        build(tmp_path / "x", other, writer("other"))
    assert str(caught.value) == (
        f"`{tmp_path / 'x'}` must be made by the same arguments. Received: an artifact that differs "
        "(new: null -> 2; seed: 0 -> 1; record set: not the same as then; weights: not the same as then). "
        "Pass --overwrite to replace it, or move it away to keep it."
    )
    assert (tmp_path / "x/data.txt").read_text() == "content"
    assert names(tmp_path) == {"x"}


def test_changed_inputs_are_named_and_not_called_arguments(tmp_path):
    build(tmp_path / "x", Recipe("stage", {}, {"extract": "a", "masks": "b", "image 2": "c"}), writer())
    other = Recipe("stage", {}, {"extract": "z", "masks": "z", "image 3": "c"})
    with pytest.raises(UserError) as caught:
        build(tmp_path / "x", other, writer(), changed={"masks": lambda there: f"masks of {there.path.name} moved"})
    assert str(caught.value) == (
        f"`{tmp_path / 'x'}` must be made from the same inputs. Received: an artifact that differs "
        "(descriptors: not the same as then; image 2: used then; image 3: not used then; masks of x moved). "
        "Pass --overwrite to replace it, or move it away to keep it."
    )


def test_overwrite_replaces(tmp_path):
    build(tmp_path / "x", recipe(seed=0), writer())
    made = build(tmp_path / "x", recipe(seed=1), writer("other"), overwrite=True)
    assert not made.reused
    assert (tmp_path / "x/data.txt").read_text() == "other"
    assert names(tmp_path) == {"x"}


@pytest.mark.parametrize("in_the_way", ["file", "folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_no_stage_wrote_is_never_replaced(tmp_path, in_the_way, overwrite):
    path = tmp_path / "x"
    path.write_text("mine") if in_the_way == "file" else (path.mkdir(), (path / "mine").touch())
    with pytest.raises(UserError, match=r"something that no stage wrote. Move it away"):
        build(path, recipe(), writer(), overwrite=overwrite)
    assert names(tmp_path) == {"x"}


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "x").mkdir()
    assert build(tmp_path / "x", recipe(), writer()).path == tmp_path / "x"


def test_bad_input_leaves_nothing_but_other_errors_what_is_done(tmp_path):
    def fail(error: BaseException):
        def write(folder: Path) -> dict:
            (folder / "half").touch()
            raise error

        return write

    with pytest.raises(UserError):
        build(tmp_path / "x", recipe(), fail(UserError("path", expected="whole", received="broken")))
    assert names(tmp_path) == set()
    draft = f"incomplete.x.{recipe().fingerprint[:16]}"
    with pytest.raises(OSError) as caught:
        build(tmp_path / "x", recipe(), fail(OSError(28, "No space left on device")))
    assert caught.value.filename == str(tmp_path / draft)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "x", recipe(), fail(KeyboardInterrupt()))
    assert names(tmp_path) == {draft}
    assert names(tmp_path / draft) == {"half"}


def test_leftovers_of_other_recipes_are_swept_and_those_of_other_names_left(tmp_path):
    stale, other, foreign = (tmp_path / f"incomplete.{name}" for name in (f"x.{'1' * 16}", f"y.{'1' * 16}", "x.mine"))
    for folder in (stale, other, foreign):
        folder.mkdir()
    build(tmp_path / "x", recipe(), writer())
    assert names(tmp_path) == {"x", other.name, foreign.name}


def test_manifest_is_the_same_but_for_its_run_part(tmp_path):
    made = [build(tmp_path / name, recipe(), writer()).manifest for name in "xy"]
    for manifest in made:
        assert set(manifest.pop("run")) == {"settings", "versions", "machine", "seconds", "finished_utc"}
    assert made[0] == made[1]


def test_load_wants_the_right_stage_and_whole_files(tmp_path):
    with pytest.raises(UserError, match=r"must be a finished artifact. Received: nothing there. Make it."):
        load(tmp_path / "x", stage="stage", remedy="Make it.")
    made = build(tmp_path / "x", recipe(), writer())
    assert load(made.path, stage="stage", remedy="").fingerprint == made.fingerprint
    with pytest.raises(UserError, match=r"an artifact of stage 'other', schema 1. Received: stage 'stage', schema 1"):
        load(made.path, stage="other", remedy="Make it.")
    (made.path / "data.txt").write_text("cut")
    with pytest.raises(UserError, match=r"data.txt` must be as the stage wrote it.*Make it again with --overwrite"):
        load(made.path, stage="stage", remedy="Make it.")


def test_a_damaged_artifact_is_refused_until_overwrite(tmp_path):
    made = build(tmp_path / "x", recipe(), writer())
    (made.path / "data.txt").unlink()
    with pytest.raises(UserError, match=r"data.txt: missing or cut"):
        build(tmp_path / "x", recipe(), writer())
    assert not build(tmp_path / "x", recipe(), writer(), overwrite=True).reused


def test_changed_files_rehashes(tmp_path):
    made = build(tmp_path / "x", recipe(), writer())
    assert changed_files(made) == []
    (made.path / "data.txt").write_text("CONTENT")
    assert changed_files(made) == ["data.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "a damaged file"), ("[]", "a damaged file"), ("{}", "one without arguments, facts, files")],
)
def test_damaged_manifest(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path, remedy="")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a.b", "a b", "a\\b", "a\n", "incomplete.a"])
def test_names_stay_below_their_root(name):
    with pytest.raises(UserError, match=r"`run` must be a name of letters, digits"):
        child("runs", name, argument="run")


def test_names_of_any_script(tmp_path):
    assert child(tmp_path, "ünï-日本_1", argument="run") == tmp_path / "ünï-日本_1"


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    from fashionprobe import artifacts

    def write(folder):
        (folder / "data.txt").write_text("new")
        return {}

    steps = int(sys.argv[2])

    def counted(step):
        def run(*args, **options):
            global steps
            if steps == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            steps -= 1
            return step(*args, **options)
        return run

    os.replace, os.fsync = counted(os.replace), counted(os.fsync)
    Path.mkdir, Path.iterdir = counted(Path.mkdir), counted(Path.iterdir)
    artifacts.shutil.rmtree = counted(artifacts.shutil.rmtree)
    artifacts.build(Path(sys.argv[1]), artifacts.Recipe("stage", {"seed": 1}), write, overwrite=True)
"""


def overwrite_in_a_process(path: Path, steps: int) -> int:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), str(steps)]).returncode


def test_overwrite_killed_between_any_two_steps(tmp_path):
    """The old artifact stands whole, or the new one does, or none; the same command then finishes."""
    seen, step = set(), 0
    while True:
        path = tmp_path / str(step) / "x"
        build(path, Recipe("stage", {"seed": 0}), writer("old"))
        if overwrite_in_a_process(path, step) == 0:
            break
        if path.exists():
            artifact = Artifact(path, read_manifest(path, remedy=""))
            assert changed_files(artifact) == []
            seen.add((path / "data.txt").read_text())
        else:
            seen.add("nothing")
        assert overwrite_in_a_process(path, 1000) == 0
        assert (path / "data.txt").read_text() == "new"
        assert names(path.parent) == {"x"}
        step += 1
    assert step >= 8
    assert seen == {"old", "nothing", "new"}


def test_another_process_at_work_is_left_alone(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from fashionprobe.artifacts import Recipe, build

        def write(folder):
            (folder / "data.txt").write_text("theirs")
            print("ready", flush=True)
            sys.stdin.read()
            return {}

        build(Path(sys.argv[1]), Recipe("stage", {"seed": 1}), write)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "x")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(UserError, match=r"x` is being written by another process. Wait until it is done"):
            build(tmp_path / "x", recipe(), writer())
        process.stdin.close()
    assert process.returncode == 0
    assert (tmp_path / "x/data.txt").read_text() == "theirs"


def test_a_folder_that_may_not_be_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; tests/stages/test_ingest.py drops its rights")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        build(tmp_path / "x", recipe(), writer())
