"""Where the configuration lies (standard library only)."""

from __future__ import annotations

from pathlib import Path


def conf_folder() -> Path:
    """conf/ as it travels in the wheel (study/conf), else beside the package, as in a checkout or an editable install."""
    inside, beside = Path(__file__).parent / "conf", Path(__file__).parent.parent / "conf"
    return inside if inside.is_dir() else beside
