"""`python -m fashionprobe`."""

import sys

from fashionprobe.cli import main

sys.exit(main())
