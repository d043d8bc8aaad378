"""Imported first by the process that others are forked from (study.machine.processes.warm): it ends
with the one that started it, also while it imports.
"""

import os

from study.machine.processes import die_with

die_with(os.getppid())
