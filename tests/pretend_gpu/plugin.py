"""Runs any tests on the pretend GPU, in pytest's own process: ``python -m pytest -p tests.pretend_gpu.plugin ...``."""
from .training import install


def pytest_configure() -> None:
    install()
