"""The site, built by ``make docs``; its pages are plain Markdown, and ``_toc.yml`` says in which order they stand."""
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.util.inspect import stringify_signature

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = 'pic_plugin'
author = 'the contributors of pic_plugin'
release = re.search(r"__version__ = '(.+)'", (ROOT / 'pic_plugin/__init__.py').read_text()).group(1)
extensions = ['myst_nb', 'sphinx_external_toc', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax',
              'sphinx-mathjax-offline']
external_toc_path = '_toc.yml'

# Markdown as GitHub shows it: its anchors of headings, links to files of the repository, which are copied beside
myst_heading_anchors = 3
myst_links_external_new_tab = False
highlight_language = 'none'  # what has no language is a command, or what it prints
nb_execution_mode = 'off'  # a notebook is shown with the outputs that it keeps

# docstrings are read from the modules, which are imported without torch and the toolboxes
autodoc_mock_imports = ['lmdb', 'matplotlib', 'mmcv', 'mmengine', 'mmpretrain', 'packaging', 'PIL', 'pyarrow',
                        'safetensors', 'scipy', 'simplejpeg', 'sklearn', 'torch', 'torchvision', 'yaml',
                        'pic_plugin.host_packages']
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_show_copyright = False
html_title = 'pic_plugin'
html_copy_source = False
html_static_path = ['_static']
html_css_files = ['site.css']
html_theme_options = {
    'light_css_variables': {'color-brand-primary': '#1f5fa8', 'color-brand-content': '#1f5fa8'},
    'dark_css_variables': {'color-brand-primary': '#7fb3ee', 'color-brand-content': '#7fb3ee'},
}


def _signature_of_class(app: Any, what: str, name: str, obj: Any, *args: Any) -> Any:
    """That of ``__init__``: a class that derives from one of the toolboxes seems to take anything here."""
    if what == 'class' and '__init__' in vars(obj):
        signature = inspect.signature(obj.__init__)
        return stringify_signature(signature.replace(parameters=list(signature.parameters.values())[1:],
                                                     return_annotation=signature.empty)), None
    return None


def _leave_out_field(app: Any, what: str, name: str, obj: Any, *args: Any) -> Any:
    """Fields of named tuples have no docstrings."""
    return True if str(getattr(obj, '__doc__', '')).startswith('Alias for field number') else None


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect('autodoc-process-signature', _signature_of_class)
    app.connect('autodoc-skip-member', _leave_out_field)
