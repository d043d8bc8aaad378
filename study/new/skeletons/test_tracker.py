"""The rules that every tracker keeps, and the lines it writes."""

from __future__ import annotations

import json

from skeleton import Skeleton

from study.battery.trackers import check_tracker


def test_it_keeps_the_rules_of_trackers(tmp_path):
    check_tracker(lambda: Skeleton(columns=["status", "score"]), tmp_path)


def test_a_point_has_one_line_however_often_it_is_logged(tmp_path):
    result = {"id": "0a", "row": {"status": "done", "score": 0.5}}
    for _ in range(2):
        tracker = Skeleton(columns=["status", "score"])
        tracker.open("quick", tmp_path)
        tracker.log(result, tmp_path / "points" / "0a")
        tracker.close()
    (line,) = (tmp_path / "skeleton.jsonl").read_text().splitlines()
    assert json.loads(line) == {"study": "quick", "id": "0a", "status": "done", "score": 0.5}
