"""The learning rates that a study trained with, where it does not vary them itself."""

from __future__ import annotations

from reports.data.study import Study
from reports.formatting import listing
from study.records import StudyError

MOST = 20  # arms of an optimizer whose configurations are read


def rate_is_chosen(study: Study) -> bool:
    """Whether the learning rate is a factor, was tuned, or is set arm by arm."""
    set_by_arm = [key for one in study.declaration.get("arms", []) for key in one.get("set", {})]
    return "tuned" in study.factors or any(
        key.rpartition(".")[2] == "lr" for key in [*study.factors, *set_by_arm]
    )


def rate_words(study: Study) -> str:
    """For example: .004 with adam, .05 with sgd; "" where no point says, as with own trainers."""

    def read() -> str:
        rates: dict[str, list[str]] = {}
        keys = ["optimizer"] if "optimizer" in study.factors else []
        for levels in study.combinations(keys):
            points = study.stored
            for key, name in levels.items():
                points = points[points[key] == name]
            for arm in points.drop_duplicates("arm")["id"].head(MOST):
                try:
                    config = study.store.config(str(arm))
                except StudyError:
                    continue
                if config.get("trainer"):  # which may have a rate of its own
                    continue
                rate = (config.get("optimizer") or {}).get("lr")
                found = rates.setdefault(levels.get("optimizer", ""), [])
                if rate is not None and f"{float(rate):g}" not in found:
                    found.append(f"{float(rate):g}")
        known = [
            f"{listing(sorted(found, key=float))}{f' with {name}' if name else ''}"
            for name, found in rates.items()
            if found
        ]
        return listing(known) if known else ""

    return str(study.cached("rate words", read))
