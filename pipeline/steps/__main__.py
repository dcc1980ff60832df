"""`python -m pipeline.steps STEP ...`: one command per step of the workflow."""

from __future__ import annotations

import sys

from pipeline.steps._framework import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
