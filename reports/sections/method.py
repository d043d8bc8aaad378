"""How everything on the page was measured and computed, with the thresholds of this study."""

from __future__ import annotations

from reports.analysis.arms import worst_words
from reports.blocks import Filled, Section
from reports.data.study import Study
from reports.formatting import number
from study.health.end_state import LATE


class Method:
    """The text is templates/sections/method.html; its numbers are the study's health settings."""

    title = "Method"
    needs = ()

    def render(self, study: Study) -> Section:
        health = study.health

        def limit(name: str, digits: int = 0) -> str:
            value = health.get(name)
            return number(float(value), digits) if isinstance(value, int | float) else "n/a"

        def percent(name: str) -> str:
            value = health.get(name)
            return f"{100 * value:g} %" if isinstance(value, int | float) else "n/a"

        values = {
            "number": limit,
            "percent": percent,
            "plain": lambda name: health.get(name, "n/a"),
            "stages": ", ".join(f"{100 * float(share):g}" for share in health.get("stages", [])),
            "late": f"{100 * LATE:g} %",
            "worse_side": "below" if study.higher_is_better else "above",
            "metric": study.metric,
            "adopted": study.adopted,
            "worst": worst_words(study),
        }
        return Section(
            [Filled("sections/method.html", values)],
            finding="Definitions and formulas of everything that is measured and judged.",
        )
