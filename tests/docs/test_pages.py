"""The pages agree with the repository: links, error messages, components."""
import ast
import re
from pathlib import Path

import pytest

from tests.tiny import ROOT

PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / '.github').rglob('*.md')])
_CODE = re.compile(r'^```.*?^```|`[^`\n]*`', re.DOTALL | re.MULTILINE)


def anchors(page):
    """Those that GitHub and MyST give the headings of a page."""
    headings = re.findall(r'^#{1,3} (.+)$', re.sub(r'^```.*?^```', '', page.read_text(), flags=re.DOTALL | re.M), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    lost = []
    for link in re.findall(r'\]\(([^)\s]+)\)', _CODE.sub('', page.read_text())):
        if re.match(r'[a-z]+:', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


def texts():
    """The texts in the code, with ``…`` in place of what is filled in."""
    for path in [*(ROOT / 'pic_plugin').rglob('*.py'), *(ROOT / 'tools').rglob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield '…'.join(part.value if isinstance(part, ast.Constant) else '' for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_error_messages_are_those_of_the_code():
    messages = re.findall(r'^\| `([^`]+)`', (ROOT / 'docs/errors.md').read_text(), re.M)
    assert len(messages) > 40
    known = list(texts())
    patterns = {message: re.compile('.*'.join(map(re.escape, re.split(r'\s?…\s?', message))), re.DOTALL)
                for message in messages}
    assert not [message for message, pattern in patterns.items() if not any(map(pattern.search, known))]


def test_every_registered_component_is_in_the_api():
    page = (ROOT / 'docs/api/components.md').read_text()
    for path in Path(ROOT / 'pic_plugin').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and any(
                    'register_module' in ast.unparse(decorator) for decorator in node.decorator_list):
                assert re.search(rf'auto(class|function):: \S+\.{node.name}$', page, re.M), node.name


def test_every_page_is_in_the_tables_of_contents():
    toc = set(re.findall(r'file: (\S+)', (ROOT / 'docs/_toc.yml').read_text()))
    front = set(re.findall(r'\]\(([^)]+)\.(?:md|ipynb)\)', (ROOT / 'docs/README.md').read_text()))
    docs = ROOT / 'docs'
    pages = {str(path.relative_to(docs).with_suffix('')) for path in [*docs.rglob('*.md'), *docs.rglob('*.ipynb')]}
    assert toc == pages - {'README'} == front
