"""The selective scan of Mamba, in the form that is fastest where it runs."""

from __future__ import annotations

from bench_sma.swin_umamba.scan.dispatcher import selective_scan, use_backend

__all__ = ["selective_scan", "use_backend"]
