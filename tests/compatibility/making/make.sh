#!/usr/bin/env bash
# Makes every store again, in ./outputs, with the baseline's environment first in PATH: `python` is its interpreter.
set -euo pipefail
export OMP_NUM_THREADS=1
SMALL="tracker=[] device=cpu executor.workers=1 hidden=8 health.stages=[0,.5,1]"

# quick: as `make sweep STUDY=quick ARGS="tracker=[]"` does it
quick() { python -m study -m experiment=quick tracker=[]; }

# textbook: its factors, levels and labels; digits first and compacted, then the adding problem's points in folders beside the parts
textbook_command() { python -m study -m experiment=textbook $SMALL seed=0,1 updates=40 validate_every=10 store.weights=false \
  'study.arms=[{when:{task:digits},set:{task.form:row}},{when:{task:adding},set:{task.steps:20,updates:60,validate_every:15}}]' "$@"; }
textbook() { textbook_command task=digits; python -m study.compact outputs/textbook; textbook_command; }

# compacted: one part, 2 cells, 2 clip rules, 2 depths, a point that diverged, every kind of table, weights
compacted() { python -m study -m experiment=quick name=compacted $SMALL cell=rnn_relu,gru initializer=orthogonal clip=none,norm depth=1,2 \
  optimizer=sgd optimizer.lr=2 seed=0,1 updates=40 validate_every=10 'probe=[transport,loss,recurrence,gates,gate_traces,saliency]'
  python -m study.compact outputs/compacted; }

# searched, searched_tuned: a search with its journal and its trials (some pruned), and the study that it wrote, compacted
searched() { python -m study -m experiment=quick name=searched hydra/sweeper=optuna search=default search/pruner=median search.trials=6 \
  $SMALL cell=rnn,gru initializer=orthogonal updates=40 validate_every=10 store.weights=false
  python -m study -m --config-dir outputs/searched/search experiment=searched_tuned seed=0,1
  python -m study.compact outputs/searched_tuned; }

# partial: 2 of 6 points stored, 2 with checkpoints (Ctrl-C midway), 2 not begun
partial_command="python -m study -m experiment=quick name=partial $SMALL cell=rnn,lstm,gru initializer=orthogonal seed=0,1 updates=600 validate_every=100 store.checkpoint_seconds=.05"
partial() { python interrupt.py outputs/partial $partial_command; }

for name in "${@:-quick textbook compacted searched partial}"; do for one in $name; do $one; done; done
