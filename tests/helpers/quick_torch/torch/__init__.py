"""What `bench doctor` asks torch, without the seconds that importing it takes: a machine of one CPU."""

from types import SimpleNamespace


def get_num_threads() -> int:
    return 1


def _no() -> bool:
    return False


cuda = SimpleNamespace(device_count=lambda: 0)
backends = SimpleNamespace(mps=SimpleNamespace(is_available=_no))
distributed = SimpleNamespace(is_available=_no)
