import configparser
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the console script does, and `python -m fashionprobe`; the line says that Python itself is up.
SCRIPT = "import sys; from fashionprobe.__main__ import main; print('up', flush=True); sys.exit(main())"


@pytest.mark.parametrize("seconds", [0, 0.05, 0.1, 0.2, 0.4, 0.7, 1])
def test_an_interrupt_is_one_line_from_the_first_moment(tmp_path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "extract", "--dataset", "garments", "--backbone", "mini"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("fashionprobe: error: Interrupted")
    assert err.count("\n") == 1


def test_both_ways_in_are_light():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["options.entry_points"]["console_scripts"].strip() == "fashionprobe = fashionprobe.__main__:main"
    code = "import sys, fashionprobe.__main__; print({'yaml', 'fashionprobe.cli'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
