import shutil
import subprocess

import pytest

from fashionprobe.cli import completion
from fashionprobe.cli.commands import COMMANDS

BASH = """
source {script}
complete -p fashionprobe
COMP_WORDS=(fashionprobe {line} "{last}"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _fashionprobe
printf "%s\\n" "${{COMPREPLY[@]}}"
"""
ZSH = """
compadd() {{ shift; print -l -- ${{(M)@:#{last}*}} }}
_files() {{ print files }}
compdef() {{ print $@ }}
source {script}
words=(fashionprobe {line} "{last}"); CURRENT=$#words; _fashionprobe
"""
CASES = [
    ("", "se", ["search", "see", "selectivity", "serve"]),
    ("", "--comp", ["--completion"]),
    ("--completion", "f", ["fish"]),
    ("attribute", "", ["add", "remove", "list"]),
    ("attribute add", "--gr", ["--group"]),
    ("see --fit", "", ["pad", "stretch"]),
    # A command that others are named after, and one of those.
    ("index", "", ["add", "compact", "remove", "status"]),
    ("index", "--gr", ["--groups"]),
    ("index add", "--im", ["--image-column", "--images"]),
    ("see --run x", "--no", ["--noise-samples"]),
    ("see", "--ver", ["--verbose"]),
]


def complete(tmp_path, shell, line, last):
    script = tmp_path / "script"
    script.write_text(completion.script(shell))
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    if shell == "fish":
        text = f'source {script}; complete -C "fashionprobe {line} {last}"'
        text = text.replace("fashionprobe  ", "fashionprobe ")
    else:
        text = {"bash": BASH, "zsh": ZSH}[shell].format(script=script, line=line, last=last)
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", text], capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if shell == "fish":
        return [line.split("\t")[0] for line in lines]
    assert lines[0] == {
        "bash": "complete -o default -F _fashionprobe fashionprobe", "zsh": "_fashionprobe fashionprobe",
    }[shell]  # fmt: skip
    return lines[1:]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("line", "last", "expected"), CASES)
def test_words_are_completed(tmp_path, shell, line, last, expected):
    assert sorted(complete(tmp_path, shell, line, last)) == sorted(expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_know_every_command(shell):
    text = completion.script(shell)
    for name in COMMANDS:
        assert name.split()[-1] in text


def test_the_shell_must_be_one_that_is_known(command):
    assert command("--completion", "bsh")[::2] == (2, (
        "fashionprobe: error: `completion` must be one of: bash, zsh, fish. Received: bsh. Did you mean 'bash'?\n"
    ))  # fmt: skip
    assert command("--completion", "bash")[1] == completion.script("bash") + "\n"
    assert "Did you mean '--completion'?" in command("completion", "bash")[2]
