import subprocess
import sys
import textwrap


def run(code: str, folder: str = ".") -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=folder)


def test_import_of_tensorflow_is_silent_and_stderr_works_afterwards():
    done = run(
        """
        import os, sys
        from fashionprobe.quiet import quiet_tensorflow
        quiet_tensorflow()
        import tensorflow as tf
        tf.constant(1)
        os.write(2, b"native ")
        print("python", file=sys.stderr)
        """
    )
    assert (done.returncode, done.stderr) == (0, "native python\n")


def test_what_a_failing_import_says_is_shown(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'no library\\n')\nraise ImportError('broken')\n")
    done = run("from fashionprobe.quiet import quiet_tensorflow; quiet_tensorflow(); import tensorflow", tmp_path)
    assert done.returncode == 1
    assert "no library" in done.stderr
    assert "ImportError: broken" in done.stderr
