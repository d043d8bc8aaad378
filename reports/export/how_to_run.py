"""How to run a point of a study again, take its weights, or write its network in PyTorch."""

from __future__ import annotations

import shlex

from reports.analysis.recipe import command, folded
from reports.blocks import Fold, Heading, Listing, Prose
from reports.data.study import Study
from reports.export.export import lacking, point_config
from reports.export.snippet import snippet
from study.records import StudyError
from study.store.privacy import private


def how_to_run(study: Study, id: str, *, brief: bool = False) -> list[object]:
    """Commands and, unless `brief`, a PyTorch snippet for a typical point."""
    if study.adopted:
        return []
    try:
        config = point_config(study.store, id)
    except StudyError as error:
        return [Prose(f"How to run it is not known: {private(str(error))}", "small")]
    blocks: list[object] = [
        Heading("Train one network again"),
        Prose(
            "The network of the recommended recipe whose score is nearest to the recipe's mean"
            f" ({id}); its numbers come out the same on the same kind of device.",
            "small",
        ),
        Listing(folded(command(study, id, config))),
    ]
    if config.get("trainer"):
        return blocks
    # what exports have of a model of the reader's own is the class itself
    why = "" if config.get("model") else lacking(config)
    export = shlex.join(["python", "-m", "reports", "export", f"outputs/{study.name}", id])
    blocks += [
        Heading("Take the trained weights"),
        Prose(
            f"They are in points/{id}/weights.safetensors and cannot be exported: {why}.", "small"
        )
        if why
        else Listing(export),
    ]
    if brief or config.get("model"):  # the recipe in PyTorch is the reader's own class
        return blocks
    try:
        facts = study.tasks.get(
            str(
                next(p for p in study.declaration["grid"] if str(p["id"]) == id)["labels"].get(
                    "task"
                )
            ),
            {},
        )
        text = snippet(config, facts)
    except (StudyError, KeyError, TypeError, ValueError) as error:
        reason = (
            str(error) if isinstance(error, StudyError) else f"its configuration has no {error}"
        )
        return [
            *blocks,
            Prose(
                f"No PyTorch snippet is written for this recipe: {reason}."
                f"{'' if why else ' Its network can be exported nevertheless.'}",
                "small",
            ),
        ]
    return [*blocks, Fold("The recipe in plain PyTorch, to paste", [Listing(text)])]
