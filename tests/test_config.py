import os
import resource
import subprocess
import sys
import threading
import time

import pytest
import yaml

from fashionprobe import config
from fashionprobe.errors import UserError

BOMB = "[&a0 [1,1,1,1,1,1,1,1,1]" + "".join(f", &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)) + "]"
NESTED = "[" * 3000 + "]" * 3000
DIGITS = "9" * 5000
BAD = {
    "aliases": (f"block: {BOMB}", "line 1: *a0 stands for an earlier value; write the value out"),
    "alias of itself": ("dataset: &a [*a]", "*a stands for an earlier value"),
    "nested lists": (f"dataset: {NESTED}", "nest"),
    "nested dictionaries": (f"dataset: {'{a: ' * 3000}", "lists nested more than 8 deep"),
    "many values": (f"block: [{'1,' * 2000}]", "more than 1000 values"),
    "long": ("#" * (config.MAX_BYTES + 1), "more than 4 MiB"),
    "digits": (f"seed: {DIGITS}", "a number that cannot be read; a text of digits stands in quotes"),
    "hexadecimal": (f"dataset: 0x{'f' * 5000}", "a whole number of more than 64 bits"),
    "sexagesimal": (f"seed: 1{':59' * 500}.5", "a number that cannot be read"),
    "tag": ("xla: !!bool x", "the tag tag:yaml.org,2002:bool"),
    "utf-16": ("dataset: x".encode("utf-16"), "which is not text in UTF-8"),
    "nul": (b"dataset: x\0", "which is not text in UTF-8"),
    "two documents": ("dataset: x\n---\ndataset: y", "line 2: but found another document"),
    "number in quotes": (
        f"dataset: x\nsize: ['1', '{DIGITS}']",
        "`size` must be a whole number or a list such as [1,4]",
    ),
    "aliases in quotes": (
        f"dataset: x\nsize: ['1', '{BOMB}']",
        "`size` must be a whole number or a list such as [1,4]",
    ),
    "long text": (f"dataset: x\nseed: {'x' * 1_000_000}", "`seed` must be a whole number"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_a_configuration_file_may_not_hold_is_one_short_line(command, tmp_path, case):
    text, message = BAD[case]
    (tmp_path / "c.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    started = time.perf_counter()
    code, out, err = command("extract", "--config", "c.yaml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert len(err) < 700
    assert time.perf_counter() - started < 10  # 0.3 s on a quiet machine


@pytest.mark.parametrize("words", [
    ("extract", "--block", BOMB), ("extract", "--block", "[" * 3000), ("extract", f"--block={NESTED}"),
    ("extract", "--block", f'["{BOMB}"]'), ("extract", "--size", BOMB, BOMB), ("extract", "--seed", DIGITS),
    ("extract", f"--seed=0x{'f' * 5000}"), ("extract", "--xla", BOMB), ("extract", "--taps", BOMB),
    ("extract", "--dataset", BOMB), ("ingest", "--where", BOMB), ("ingest", "--fit", BOMB), ("embed", "--margin", BOMB),
    ("report", "--run", BOMB), ("ingest", "--config", "a\0b"), ("ingest", "--config", "/dev/zero"),
    ("ingest", "--config", "x" * 5000), ("ingest", f"--{'x' * 5000}"), ("x" * 5000,), ("ingest", "--config"),
], ids=lambda words: " ".join(words)[:24].replace("\0", " "))  # fmt: skip
def test_words_of_the_command_line_have_the_same_bounds(command, words):
    started = time.perf_counter()
    code, out, err = command(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert len(err) < 1000
    assert time.perf_counter() - started < 10  # 0.3 s on a quiet machine


def test_a_few_hundred_bytes_cost_neither_time_nor_memory(tmp_path):
    (tmp_path / "c.yaml").write_text(f"block: {BOMB}")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fashionprobe", "extract", "--config", tmp_path / "c.yaml"], capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (500 << 20, 500 << 20)),
    )  # fmt: skip
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert time.perf_counter() - started < 10  # 0.3 s on a quiet machine


def test_a_configuration_file_is_read_once(command, tmp_path):
    # A pipe, as of `--config <(command)`, has nothing left for a second reading.
    os.mkfifo(tmp_path / "pipe")
    text = "dataset: x\nsource: garments\ncount: 12\nsize: 16\n"
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(text,))
    writer.start()
    code, out, _ = command("ingest", "--config", "pipe")
    writer.join()
    assert (code, out[:31]) == (0, "wrote tfrecords/x: 12 images (1")


def test_text_that_looks_like_yaml_stays_text(command):
    for text in ("*.jpg", "&a", "!important", "a: b: c", "[[[", "1:59:59"):
        _, _, err = command("ingest", "--dataset", text)
        assert f"Received: '{text}'" in err


def test_load_reads_powers_of_ten_as_numbers_and_dates_as_text():
    assert config.load("a: 1e3\nb: 2012-01-01\nc: [x, 5]") == {"a": 1000.0, "b": "2012-01-01", "c": ["x", 5]}
    assert config.load('["a", {"b": null}]') == ["a", {"b": None}]
    with pytest.raises(yaml.YAMLError):
        config.load("[1,")


def test_read_gives_the_content(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfsize: 3\n")
    assert config.read(str(tmp_path / "c.yaml")) == {"size": 3}
    with pytest.raises(UserError, match="which holds 5"):
        (tmp_path / "c.yaml").write_text("5")
        config.read(str(tmp_path / "c.yaml"))
