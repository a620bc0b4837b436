"""`python -m tensorprog.cli`."""

import sys

from tensorprog.cli import main

sys.exit(main())
