"""`python -m caloforge` is the command `caloforge`."""

import sys

from caloforge.cli import main

if __name__ == "__main__":
    sys.exit(main())
