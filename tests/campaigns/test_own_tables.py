"""A small slice of `make fuzz` for tables; and the harness sees what it should see."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.compute as pc

from study.tasks.shared import number_columns
from tests.campaigns.own_tables import WAYS, clean, judged, mangled


def test_mangled_tables_are_refused_or_read_to_the_same_values(tmp_path):
    ended: Counter[str] = Counter()
    for number in range(100):
        how, wrong, _ = judged(number, tmp_path)
        assert not wrong, f"{number}: {wrong}"
        ended[how] += 1
    assert min(ended[how] for how in ("refused", "same", "told")) > 3


def test_every_way_is_tried():
    used: Counter[str] = Counter()
    for number in range(600):
        rng = np.random.default_rng(number)
        used.update(mangled(clean(rng), rng)[0].done)
    assert set(used) == set(WAYS)


def test_other_values_are_found(tmp_path, monkeypatch):
    """A reader that takes every comma for thousands, as one once did."""

    def careless(column, style):
        text = pc.replace_substring(column, ",", "")
        plain = pc.match_substring_regex(text, number_columns._PLAIN)
        return text, plain

    monkeypatch.setattr(number_columns, "_plain", careless)
    found = [judged(number, tmp_path)[1] for number in range(300)]
    assert any("decimal_comma" in wrong and "other" in wrong for wrong in found)
