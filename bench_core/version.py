"""The version of segtrial."""

__version__ = "0.1.0"
