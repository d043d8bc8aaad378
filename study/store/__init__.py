"""A study's folder: points, searches, leases. Reading needs no torch.

`Store` is the way in; the modules beside it are its rooms.
"""

from study.store.store import CONFIG, CannotStore, Damaged, PointRecord, Store, seal

__all__ = ["CONFIG", "CannotStore", "Damaged", "PointRecord", "Store", "seal"]
