"""Checks, before training starts, that a table has room."""
import os
import shutil
from pathlib import Path

_GB = 1e9


def check_memory(num_bytes: int) -> None:
    """Raise a ``ValueError`` unless this machine has ``num_bytes`` of memory, whatever else uses it."""
    there = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    if num_bytes > there:
        raise ValueError(f'the table of rows needs {num_bytes:,} bytes ({num_bytes / _GB:.1f} GB) of memory on this '
                         f"machine, which has {there:,} ({there / _GB:.1f} GB); set model.head.table='disk', or use "
                         'more machines')


def check_disk(folder: Path, num_bytes: int) -> None:
    """Raise a ``ValueError`` unless ``num_bytes`` are free where ``folder`` lies."""
    there = shutil.disk_usage(folder).free
    if num_bytes > there:
        raise ValueError(f'the table of rows needs {num_bytes:,} bytes ({num_bytes / _GB:.1f} GB) once every row was '
                         f'visited, and {folder.absolute()} has {there:,} ({there / _GB:.1f} GB) free; set '
                         'model.head.table_dir to a folder on a larger local disk, or use more machines')
