"""The machine that was measured on: figures of another one do not compare."""

import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

_SYNCS = 50
_BLOCK = b"\0" * 4096
_IN_MEMORY = ("tmpfs", "ramfs")


def describe_machine(scratch: Path) -> dict[str, Any]:
    """Return the machine's size, and how long the disk below ``scratch`` takes to make a block durable."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": find_file_system(scratch),
        "fsync_ms": round(_measure_fsync_ms(scratch), 3),
    }


def is_in_memory(file_system: str) -> bool:
    """Tell whether what is written there is gone with the power, so that fsync costs nothing."""
    return file_system in _IN_MEMORY


def find_file_system(path: Path) -> str:
    """Return the kind of file system that holds ``path``, such as ext4."""
    mounts = [part for part in psutil.disk_partitions(all=True) if path.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def _measure_fsync_ms(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        return statistics.median(_time_one(file.fileno()) for _ in range(_SYNCS)) * 1000


def _time_one(descriptor: int) -> float:
    os.write(descriptor, _BLOCK)
    began_s = time.perf_counter()
    os.fdatasync(descriptor)
    return time.perf_counter() - began_s
