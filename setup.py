"""Install the plugin.  The toolboxes come by an extra: either family of packages will do, so neither is required."""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The lines of requirements/NAME.txt that name a package."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


setup(
    name='pic_plugin',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'pic_plugin/__init__.py').read_text()).group(1),
    description="Parametric instance classification for OpenMMLab's toolboxes",
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['pic_plugin', 'pic_plugin.*']),
    python_requires='>=3.10',
    install_requires=['packaging'],
    extras_require={name: requirements(name) for name in ('onedl', 'upstream', 'tensorboard')},
)
