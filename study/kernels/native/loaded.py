"""Imported by the process that workers are forked from (study.machine.processes.warm): loads Numba
and the tables of its compiler, a second of CPU time, once for all of them.
"""

import numpy as np

from study.kernels.native import gru, lstm, members, rnn, updates  # noqa: F401
from study.kernels.native.maths import zeros

zeros(1, 1, np.empty(1, np.float32))
