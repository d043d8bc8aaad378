"""`python -m study.new KIND NAME`."""

import sys

from study.new import main

sys.exit(main())
