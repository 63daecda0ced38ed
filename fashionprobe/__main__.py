"""The command, and `python -m fashionprobe`: light, so that Ctrl-C while the rest is imported is one line, too."""

import sys


def main() -> int:
    """Import the command line and run it; an interrupt is told in one line, and its exit code is 130."""
    try:
        from fashionprobe import cli

        return cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("fashionprobe: error: Interrupted before anything was done.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
