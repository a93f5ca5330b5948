"""The catalog's figures."""

from __future__ import annotations

from prometheus_client import Counter

PRODUCTS_SAVED = Counter("nervio_products_saved_total", "Products created or changed.", ("outcome",))
