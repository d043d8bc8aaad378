"""Checks that every piece must pass, built-in or yours.

A check takes the built piece and raises an AssertionError that says what is wrong:

from study.battery import check_cell
check_cell(Leaky(a=0.1))
"""

from study.battery.blocks import check_block
from study.battery.cells import check_cell
from study.battery.clipping import check_clip
from study.battery.encoders import check_encoder
from study.battery.executors import check_executor
from study.battery.initializers import check_initializer
from study.battery.optimizers import check_optimizer
from study.battery.own_training import check_model, check_trainer
from study.battery.penalties import check_penalty
from study.battery.probes import check_probe, trace_of
from study.battery.readouts import check_readout
from study.battery.schedules import check_schedule
from study.battery.shared import init_facts
from study.battery.tasks import check_task
from study.battery.trackers import check_tracker

__all__ = [
    "check_block",
    "check_cell",
    "check_clip",
    "check_encoder",
    "check_executor",
    "check_initializer",
    "check_model",
    "check_optimizer",
    "check_penalty",
    "check_probe",
    "check_readout",
    "check_schedule",
    "check_task",
    "check_tracker",
    "check_trainer",
    "init_facts",
    "trace_of",
]
