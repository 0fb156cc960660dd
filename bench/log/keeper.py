"""The prediction log's process for the bench, which says itself what is drawn: ``python -m bench.log.keeper``."""

from __future__ import annotations

from include.predictions import service

if __name__ == "__main__":
    service.SPECS_S = 1e6
    service.main()
