"""Install the plugin.  The toolboxes come by an extra: either family of packages will do, so neither is required."""
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Puts configs and tools into the wheel, where OpenMMLab's packages have theirs."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            mim = Path(self.build_lib, 'pic_plugin/.mim')
            for name in ('configs', 'tools'):
                shutil.copytree(ROOT / name, mim / name, dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns('__pycache__'))
            shutil.copy(ROOT / 'model-index.yml', mim)


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
    package_data={'pic_plugin': ['py.typed', 'visualization/*.html']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['pic-plugin = pic_plugin.__main__:main']},
    python_requires='>=3.10',
    # any torch that the toolboxes were tested with; requirements/torch.txt has the one that `make` takes
    install_requires=['torch>=2.4', 'torchvision>=0.19', *requirements('runtime')],
    extras_require={name: requirements(name) for name in ('onedl', 'upstream', 'onnx', 'tensorboard')},
)
