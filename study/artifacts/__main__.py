"""python -m study.artifacts DIR."""

import gc
import sys

from study.artifacts import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        # Otherwise the garbage collector visits everything that was imported once more at exit,
        # which takes most of a second.
        gc.freeze()
