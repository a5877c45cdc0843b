"""The configs and tools that come with the package."""
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def resource(path: str) -> Path:
    """A file of ``configs/`` or ``tools/``: in a checkout, or in the ``.mim`` folder of what pip installed."""
    installed = _PACKAGE / '.mim'
    return (installed if installed.is_dir() else _PACKAGE.parent) / path
