"""The tests. Their folders mirror those of study/ and reports/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
