"""Two small networks, from checkpoints of both kinds, in the images of a config."""
import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from tests.tiny import ROOT, write_images
from tests.tools.scripts import run_tool

PIC = ROOT / 'configs/pic/pic_r18-3stage-w32_1xb128_40e_digits.py'
LINEAR = ROOT / 'configs/benchmarks/linear/linear_r18-3stage-w32_1xb256_20e_digits.py'


def build(path, seed):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(seed)
    cfg.model.backbone.pop('init_cfg', None)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.fixture
def files(tmp_path):
    for split in ('train', 'test'):
        write_images(tmp_path / 'digits' / split, 24, seed=len(split))
    torch.save(build(PIC, 1).backbone.state_dict(), tmp_path / 'backbone.pth')
    torch.save({'state_dict': build(LINEAR, 2).state_dict(), 'message_hub': {'loss': HistoryBuffer([1.0], [1])}},
               tmp_path / 'epoch_1.pth')
    return tmp_path


def options(folder, *loaders):
    """The images of ``folder``, by the loaders that a config has."""
    return ['--cfg-options', *(f'{loader}_dataloader.dataset.data_root={folder / "digits" / split}'
                               for loader, split in loaders)]


def look(folder, config, checkpoint, *others):
    run_tool('saliency.py', config, checkpoint, '--against', LINEAR, folder / 'epoch_1.pth', '--out', folder / 'out',
             *others)
    return (folder / 'out/table.md').read_text()


def test_the_pre_trained_network_by_its_neighbours(files, capsys):
    table = look(files, PIC, files / 'backbone.pth', *options(files, ('bank', 'train'), ('query', 'test')))
    assert '24 images, maps of 4 x 4 places' in capsys.readouterr().out
    assert '| supervised | 0.' in table and 'Accuracy of PIC: ' in table
    assert cv2.imread(str(files / 'out/maps.png')).ndim == cv2.imread(str(files / 'out/overlap.png')).ndim == 3


def test_a_network_looks_where_it_looks(files):
    table = look(files, LINEAR, files / 'epoch_1.pth', '--names', 'this', 'itself', *options(files, ('val', 'test')))
    assert '| itself | 1.000 | 1.000 | 1.000 |' in table
    assert '| untrained | 1.000 |' not in table and 'Accuracy of this: ' in table


def test_no_accuracy_without_classifier_or_bank(files):
    table = look(files, LINEAR, files / 'backbone.pth', *options(files, ('val', 'test')))
    assert 'Accuracy' not in table


def test_a_checkpoint_of_another_network(files):
    state = torch.load(files / 'backbone.pth', weights_only=True)
    state.pop('bn1.weight')
    torch.save(state, files / 'odd.pth')
    with pytest.raises(ValueError, match=r"odd.pth does not fit the backbone of .*: backbone.bn1.weight is missing"):
        look(files, LINEAR, files / 'odd.pth', *options(files, ('val', 'test')))


def test_a_config_without_images(files):
    path = files / 'bare.py'
    path.write_text(f"_base_ = '{PIC}'\nquery_dataloader = None\n")
    path.write_text("default_scope = 'mmpretrain'\nmodel = dict(backbone=dict())\n")
    with pytest.raises(ValueError, match='bare.py must have a query_dataloader or val_dataloader'):
        look(files, path, files / 'backbone.pth')
