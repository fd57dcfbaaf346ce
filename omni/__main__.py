"""`python -m omni` is the `omni` command."""

import sys

from omni.cli import main

if __name__ == "__main__":
    sys.exit(main())
