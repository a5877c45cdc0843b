"""A page to look at."""
import base64
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

import pic_plugin
from pic_plugin.__main__ import main


@pytest.fixture(scope='module')
def page(trained):
    return pic_plugin.report(trained.out)


def test_it_needs_no_network(page):
    text = page.read_text()
    assert not re.search(r'(src|href)="(?!data:)', text) and 'http' not in text.replace('http-equiv', '')
    jpegs = re.findall(r'data:image/(?:jpeg|png);base64,([^"]+)', text)
    assert len(jpegs) > 20 * 17  # queries and neighbours alone
    for jpeg in jpegs:
        assert cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_COLOR) is not None


def test_it_has_all_parts(page):
    text = page.read_text()
    headings = re.findall('<h2>(.*)</h2>', text)
    assert headings[:4] == ['Training', 'Accuracy', 'Nearest neighbours', 'Map']
    assert headings[-2:] == ['Outliers', 'Where the network looks']
    assert 'кресты' in text and '2 visits of each image' in text
    assert text.count('class="query"') == 20 and 'class="same"' in text
    assert 'window size: an eighth of the 40 images' in text  # the settings, with their reasons


def test_of_other_images_without_classes(trained, pictures, tmp_path):
    shutil.copytree(pictures / 'кресты', tmp_path / 'data')
    assert main(['report', str(trained.out), '--data', str(tmp_path / 'data'), '--out', str(tmp_path / 'page.html'),
                 '--images', '15']) == 0
    text = (tmp_path / 'page.html').read_text()
    assert '<h2>Accuracy</h2>' not in text and 'class="same"' not in text
    assert '<th>looked at here</th><td>15</td>' in text
    assert 'shown by 20 images, which were named for this page.' in text


def test_what_cannot_be_shown(trained, tmp_path, capsys):
    assert main(['report', str(tmp_path)]) == 1
    assert 'has no backbone.pth' in capsys.readouterr().err
    assert main(['report', str(trained.out), '--images', '0']) == 1
    assert 'images must be positive' in capsys.readouterr().err
    assert main(['report', str(trained.out), '--images', '1', '--out', str(tmp_path / 'x.html')]) == 1
    assert 'two images at least' in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_browser_shows_it(page, tmp_path):
    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    if browser is None:
        pytest.skip('no Chromium here (apt-get install chromium): the page was not looked at in a browser')
    shot = tmp_path / 'shot.png'
    subprocess.run([browser, '--headless', '--no-sandbox', '--disable-gpu', '--window-size=1200,2000',
                    f'--screenshot={shot}', page.as_uri()], check=True, timeout=120, capture_output=True)
    image = cv2.imread(str(shot))
    assert image.shape[:2] == (2000, 1200) and image.std() > 10


def test_decoders_say_nothing_of_strange_headers(trained, tmp_path, capfd):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    for i in range(3):
        path = tmp_path / f'{i}.png'
        Image.new('L', (20, 20), 80 * i).save(path, icc_profile=profile)
        cv2.imread(str(path))
    assert 'libpng warning' in capfd.readouterr().err  # it would say something
    pic_plugin.report(trained.out, tmp_path / 'page.html', str(tmp_path))
    assert not capfd.readouterr().err
