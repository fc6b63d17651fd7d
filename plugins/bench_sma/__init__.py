"""Specialized medical architectures (SMAs)."""
