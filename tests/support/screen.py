"""Keep what a failed test prints to about a screen; -vv shows all of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

HEAD, TAIL = 10, 20  # lines that are kept of what is longer


def shortened(lines: Sequence[str]) -> list[str]:
    """The first and the last lines, and between them how many were left out."""
    if len(lines) <= HEAD + TAIL + 1:
        return list(lines)
    left_out = f"... {len(lines) - HEAD - TAIL} lines left out, which -vv shows ..."
    return [*lines[:HEAD], left_out, *lines[-TAIL:]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shorten the error and the captured output of a test that failed."""
    report = yield
    if report.failed and item.config.option.verbose < 2:
        report.sections = [
            (name, "\n".join(shortened(text.splitlines()))) for name, text in report.sections
        ]
        for traceback, _, _ in getattr(report.longrepr, "chain", ()):
            for entry in traceback.reprentries:
                entry.lines[:] = shortened(entry.lines)
    return report
