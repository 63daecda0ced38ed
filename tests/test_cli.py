import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fashionprobe import __version__, cli
from fashionprobe.cli.commands import COMMANDS

HEAVY = ("tensorflow", "keras", "umap", "matplotlib.pyplot", "sklearn", "pandas", "gradio")
STAGES = ("fashionprobe.stages", "numpy", "yaml")
NO_COMMAND = "`command` must be one of 45 names"
LISTED = "`fashionprobe --help` tells what each does."
MEMBERS = "`command` must be one of: attribute add, attribute remove, attribute list."
NO_CONFIG = "`config` must be a YAML file with one `argument: value` per line."
GARMENTS = ("ingest", "--source", "garments", "--size", "32")


@pytest.mark.parametrize("module", ["fashionprobe", "fashionprobe.stages", "fashionprobe.cli"])
def test_import_is_light(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_answer_at_once(option):
    # What takes seconds to import must not be imported: a measured time would depend on the machine.
    code = (
        "import sys; from fashionprobe import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code\n"
        f"sys.exit(' '.join({{*{HEAVY}, *{STAGES}}} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (__version__ if option == "--version" else "ingest") in done.stdout


@pytest.mark.parametrize("line", [
    "ingest --count 13 --config c.yaml", "ingest --count 13 --config=c.yaml", "ingest --config c.yaml --count 13",
    "--config c.yaml ingest --count 13", "--config=c.yaml ingest --count 13",
])  # fmt: skip
def test_options_given_by_hand_win_wherever_config_stands(command, tmp_path, line):
    (tmp_path / "c.yaml").write_text("dataset: colours\nsource: garments\ncount: 12\nsize: [32, 40]\n")
    code, out, _ = command(*line.split())
    assert code == 0
    assert "wrote tfrecords/colours: 13 images" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", f"{NO_COMMAND}, such as ingest, verify, demo. Received: nothing. {LISTED}"),
        ("ingst", f"{NO_COMMAND}. Received: ingst. Did you mean 'ingest'? {LISTED}"),
        ("dream", f"{NO_COMMAND}. Received: dream. Did you mean 'maximize'? {LISTED}"),
        ("help", f"{NO_COMMAND}. Received: help. Did you mean '--help'? {LISTED}"),
        ("attribute", f"{MEMBERS} Received: attribute. Did you mean 'attribute add'?"),
        ("attribute ad x", f"{MEMBERS} Received: attribute ad. Did you mean 'attribute add'?"),
        ("attribute add x", "`run` is missing: pass --run. `fashionprobe attribute add --help` "
         "explains it."),
        ("attribute add x y --run r --group g", "`arguments` must be options such as --name value. Received: y. Put "
         "quotes around a value that holds spaces: --name \"x y\"."),
        ("ingest --dataset my dress", "`arguments` must be options such as --name value. Received: dress. Put quotes "
         "around a value that holds spaces: --dataset \"my dress\"."),
        ("verify mix", "`arguments` must be options such as --name value. Received: mix. Write --path mix."),
        ("classify g", "`arguments` must be options such as --name value. Received: g. Write --run g."),
        ("see a.jpg", "`arguments` must be options such as --name value. Received: a.jpg. Write --images a.jpg."),
        ("train -5", "`arguments` must be options such as --name value. Received: -5. `fashionprobe train --help` "
         "lists the options."),
        ("see --class Heels", "`option` must be one that `fashionprobe see` has. Received: --class. Did you mean "
         "'--target'?"),
        ("train -e 3", "`option` must be one that `fashionprobe train` has. Received: -e. Did you mean '--epochs'?"),
        ("see --gpu 0", "`option` must be one that `fashionprobe see` has. Received: --gpu. TensorFlow takes the GPUs "
         "that it finds; the environment variable CUDA_VISIBLE_DEVICES chooses among them."),
        ("maximize --image a.jpg", "`option` must be one that `fashionprobe maximize` has. Received: --image. Did you "
         "mean '--images'?"),
        ("attribute add x --run r --group g --images", "`images` is missing: a value must follow. "
         "`fashionprobe attribute add --help` explains it."),
        ("attribute remove x --grop g", "`option` must be one that `fashionprobe attribute remove` has. Received: "
         "--grop. Did you mean '--group'?"),
        ("ingest", "`dataset` is missing: pass --dataset. `fashionprobe ingest --help` explains "
         "it."),
        ("ingest --dataset", "`dataset` is missing: a value must follow. `fashionprobe ingest --help` "
         "explains it."),
        ("ingest --shrad-size 9", "`option` must be one that `fashionprobe ingest` has. Received: --shrad-size. "
         "Did you mean '--shard-size'?"),
        ("ingest --overwite", "`option` must be one that `fashionprobe ingest` has. Received: --overwite. "
         "Did you mean '--overwrite'?"),
        ("ingest --over", "`option` must be one that `fashionprobe ingest` has. Received: --over. "
         "Did you mean '--overwrite'?"),
        ("ingest --zzz=1", "`option` must be one that `fashionprobe ingest` has. Received: --zzz. "
         "`fashionprobe ingest --help` lists them."),
        ("ingest --dataset x --count ten", "`count` must be a whole number. Received: ten."),
        ("ingest --dataset x --count 1.5", "`count` must be a whole number. Received: 1.5."),
        ("ingest --dataset x --size 32,a", "`size` must be a whole number or a list such as [1,4]. Received: 32,a."),
        ("ingest --dataset x --near-copies nan", "`near_copies` must be a number. Received: nan."),
        ("ingest --dataset x --near-copies .nan", "`near_copies` must be a number in the range [0, 255). "
         "Received: nan."),
        ("ingest --dataset x --split 0.8", "`split` must be a list such as [1,4]. Received: 0.8."),
        ("ingest --dataset x --fit padd", "`fit` must be one of: pad, stretch. Received: padd. Did you mean 'pad'?"),
        ("extract --dataset x --block x", "`block` must be a whole number or a list such as [1,4]. Received: x."),
        ("ingest --dataset x --check yess", "`check` must be true or false. Received: yess."),
        ("ingest --config", "`config` is missing: a file must follow."),
        ("ingest --config no.yaml", f"{NO_CONFIG} "
         "Received: 'no.yaml' (No such file or directory)."),
        ("ingest --config .", f"{NO_CONFIG} "
         "Received: '.' (Is a directory)."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(command, tmp_path, line, message):
    assert command(*line.split()) == (2, "", f"fashionprobe: error: {message}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 3", "`c.yaml` must be a file of arguments of ingest. Received: lr. `fashionprobe ingest --help` lists "
         "them."),
        ("images: a", "`c.yaml` must be a file of arguments of ingest. Received: images. Did you mean 'path'?"),
        ("dataset: yes", "`dataset` must be text. Received: True. In YAML the texts yes, no, on, off, true and false "
         "stand in quotes."),
        ("dataset: [1]", "`dataset` must be text. Received: [1]."),
        ("coutn: 3", "`c.yaml` must be a file of arguments of ingest. Received: coutn. Did you mean 'count'?"),
        ("count: 3\ntrain:\n  epochs: 3", "`c.yaml` must be a file of arguments of ingest. Received: train. "
         "Write all arguments below the name of their command, or those of train alone and no name."),
        ("train:\n  epochs: 3\nrefit:\n  b: 5", "`c.yaml` must be a file with arguments of ingest. Received: those of "
         "train, refit."),
        ("", f"{NO_CONFIG} Received: 'c.yaml', which holds nothing."),
        ("- a", f"{NO_CONFIG} Received: 'c.yaml', which holds ['a']."),
        ("a: [1,\nb: 2: 3", f"{NO_CONFIG} "
         "Received: 'c.yaml' (line 2: did not find expected ',' or ']')."),
        ("dataset: 5", "`dataset` must be text. Received: 5. "
         "In YAML a text that looks like a number stands in quotes: \"5\"."),
        ("dataset: x\ncount: many", "`count` must be a whole number. Received: many."),
        ("dataset: x\nsize: {height: 3}", "`size` must be a whole number or a list such as [1,4]. "
         "Received: {'height': 3}."),
    ],
)  # fmt: skip
def test_a_mistake_in_a_configuration_file(command, tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    assert command("ingest", "--config", "c.yaml") == (2, "", f"fashionprobe: error: {message}\n")


def test_each_command_reads_its_own_part_of_a_file_with_several(command, tmp_path):
    (tmp_path / "c.yaml").write_text("ingest:\n  dataset: a\n  source: garments\n  count: 12\ntrain:\n  epochs: 3\n")
    code, out, _ = command("ingest", "--config", "c.yaml", "--size", "32", "--print-config")
    assert code == 0 and {"count: 12", "dataset: a", "size: 32"} <= set(out.splitlines())


def test_a_configuration_file_that_is_no_text(command, tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\x89PNG\x00\xff")
    code, _, err = command("ingest", "--config", "c.yaml")
    assert (code, err.count("\n")) == (2, 1)
    assert "'c.yaml', which is not text in UTF-8" in err


def test_names_that_look_like_something_else(command):
    for name in ("5", "1e3", "null", "true"):
        code, out, _ = command(*GARMENTS, "--dataset", name, "--count", 10)
        assert (code, out.split(":")[0]) == (0, f"wrote tfrecords/{name}")


def test_system_errors_and_interrupts(command, monkeypatch):
    def run(error):
        def fail(*args, **options):
            raise error

        monkeypatch.setattr(cli, "_run", fail)
        return command("verify", "--path", "x")

    assert run(PermissionError(13, "Permission denied", "runs/x"))[::2] == (2, (
        "fashionprobe: error: `runs/x` must be readable and writable. Received: Permission denied. "
        "Check the permissions, or name another folder with --tfrecords-root or --runs-root.\n"
    ))  # fmt: skip
    assert run(KeyboardInterrupt())[::2] == (
        130,
        "fashionprobe: error: Interrupted. The same command resumes where this one stopped.\n",
    )


def test_messages_fit_any_terminal(tmp_path):
    path = tmp_path / "ascii.txt"
    record = logging.LogRecord("x", logging.INFO, "", 0, "0.5 ± 0.1, ünï", (), None)
    with path.open("w", encoding="ascii") as stream:
        cli._Handler(stream).emit(record)
    assert path.read_text() == "0.5 ? 0.1, ?n?\n"


def test_nobody_reads_the_output(tmp_path):
    script = (
        "import os, sys, logging; from fashionprobe import cli; cli._log_to(sys.stdout, set());"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1);"
        "logging.getLogger('fashionprobe').info('hello'); cli._flush()"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_main_is_installed_as_a_command():
    done = subprocess.run([sys.executable, "-m", "fashionprobe", "ingst"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert os.linesep.join(done.stderr.splitlines()).endswith("`fashionprobe --help` tells what each does.")


def test_a_family_of_commands_explains_itself(command):
    code, out, _ = command("attribute", "--help")
    assert code == 0
    assert {"add", "remove", "list"} <= set(out.split())
    assert "--images" in command("attribute", "add", "--help")[1]


def test_json_is_all_there_is_on_stdout(command):
    code, out, err = command(*GARMENTS, "--dataset", "x", "--count", 12, "--json")
    assert (code, json.loads(out)) == (0, {
        "path": "tfrecords/x", "images": 12, "splits": {"train": 10, "val": 1, "test": 1}, "skipped": 0,
        "reused": False,
    })  # fmt: skip
    assert "wrote tfrecords/x" in err


def test_json_keeps_what_a_library_prints_off_stdout(command, monkeypatch):
    def chatty(*, path: str) -> None:
        sys.stdout.write("hello from a library\n")

    monkeypatch.setitem(COMMANDS, "verify", chatty)
    assert command("verify", "--path", "x", "--json") == (0, "null\n", "hello from a library\n")


def test_json_of_an_error_is_nothing(command):
    code, out, err = command("verify", "--path", "x", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)


@dataclass
class Inner:
    ids: tuple[str, ...]


@pytest.mark.parametrize(("result", "expected"), [
    (Inner(("a", "b")), {"ids": ["a", "b"]}), ((Inner(()), None), [{"ids": []}, None]), (Path("x"), "x"),
    (np.float32(0.5), 0.5), (np.arange(2), [0, 1]), (float("inf"), None), ({1: True}, {"1": True}),
])  # fmt: skip
def test_results_as_json(result, expected):
    assert cli.plain(result) == expected


def test_quiet_and_verbose(command):
    assert command(*GARMENTS, "--dataset", "x", "--count", 12, "-q") == (0, "", "")
    verbose = command("verify", "--path", "tfrecords/x", "-v")[1].splitlines()
    assert verbose[0] == "verify: {'path': 'tfrecords/x'}"
    assert verbose[-1].startswith("verify took ")
    assert command("verify", "--path", "tfrecords/x")[1].count("\n") == 1


def test_print_config_is_what_config_reads(command, tmp_path):
    line = (*GARMENTS, "--dataset", "5", "--count", 12)
    (tmp_path / "c.yaml").write_text(command(*line, "--print-config")[1])
    assert not (tmp_path / "tfrecords").exists()
    assert "12 images" in command("ingest", "--config", "c.yaml")[1]
    assert "reused" in command(*line)[1]


def test_a_script_reads_its_words_as_a_stage_does(capsys, monkeypatch):
    def main(*, seeds: int = 3, rivals: str = "all") -> dict[str, int]:
        """Repeat it.

        Args:
            seeds: How often.
            rivals: Against whom.
        """
        return {rivals: seeds}

    monkeypatch.setattr(sys, "argv", ["/somewhere/repeat.py"])
    assert cli.script(main, ["--seeds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"all": 2}
    assert cli.script(main, ["--seed", "2"]) == 2
    assert "one that `repeat.py` has. Received: --seed. Did you mean '--seeds'?" in capsys.readouterr().err
    assert cli.script(main, ["--help"]) == 0
    assert "--seeds N                 How often. [default: 3]" in capsys.readouterr().out
