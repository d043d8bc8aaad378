"""A study's folder: points, searches, leases. Reading needs no torch.

Use `Store` for points, `store.search.SearchStore` for searches, `store.leases.Leases` for leases.
"""

from study.store.point import CONFIG, CannotStore, Damaged, PointRecord, seal
from study.store.store import Store

__all__ = ["CONFIG", "CannotStore", "Damaged", "PointRecord", "Store", "seal"]
