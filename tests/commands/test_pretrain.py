"""A folder of images becomes a config, and the config a network."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config

import pic_plugin
from pic_plugin.__main__ import main
from pic_plugin.commands import pretrain
from pic_plugin.commands.plan import plan_training
from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sources import images_from
from tests.commands.conftest import OPTIONS
from tests.tiny import ROOT, assert_same

LIST = InstanceDataset.load_data_list


def backbone(folder):
    return torch.load(folder / 'backbone.pth', weights_only=True)


def test_the_config_says_what_was_chosen_and_why(trained, pictures):
    text = trained.config.read_text()
    config = Config.fromfile(str(trained.config))
    assert config.train_dataloader.dataset.data_root == str(pictures)
    assert config.model.backbone.in_channels == 1 and config.train_cfg.max_epochs == 2
    assert config.train_dataloader.sampler.window_size == 32 and config.model.head.num_negatives == 16
    assert config.train_dataloader.num_workers == 0  # by cfg_options
    assert '# window size: an eighth of the 40 images' in text and '# visits: of each image; given' in text
    assert sorted(path.name for path in trained.out.glob('*.py')) == ['config.py']  # the Runner adds none


def test_the_config_trains_to_the_same_bits(trained, tmp_path):
    subprocess.run([sys.executable, 'tools/train.py', str(trained.config), '--work-dir', str(tmp_path), '--cpu'],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert_same(backbone(tmp_path), backbone(trained.out))


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(trained, pictures, tmp_path):
    out = tmp_path / 'again'
    shutil.copytree(trained.out, out)
    for path in (out / 'epoch_2.pth', out / 'backbone.pth'):
        path.unlink()
    shutil.rmtree(out / 'epoch_2.rows')
    (out / 'last_checkpoint').write_text(str(out / 'epoch_1.pth'))
    # the same command, or as little of it as there must be
    assert main(['pretrain', os.path.relpath(pictures), '--out', str(out), '--visits', '2', '--resume', '--cpu']) == 0
    assert_same(backbone(out), backbone(trained.out))


def test_training_goes_on_from_another(trained, pictures, tmp_path):
    out = tmp_path / 'on'
    arguments = ['pretrain', str(pictures), '--out', str(out), '--cpu']
    assert main([*arguments, '--from', str(trained.out), '--visits', '1', '--cfg-options',
                 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']) == 0
    start = torch.load(out / 'start.pth', weights_only=True)
    assert_same(start, backbone(trained.out))
    assert not torch.equal(backbone(out)['conv1.weight'], start['conv1.weight'])
    moved = [(backbone(out)[name] - tensor).abs().max() for name, tensor in start.items() if 'weight' in name]
    assert max(moved) < 2e-3  # a few steps of Adam at 1e-4
    config = Config.fromfile(str(out / 'config.py'))
    assert config.model.backbone.init_cfg == dict(type='Pretrained', checkpoint=str(out / 'start.pth'))
    assert config.optim_wrapper.row_optimizer == Config.fromfile(str(trained.config)).optim_wrapper.optimizer
    text, log = (out / 'config.py').read_text(), next(out.glob('*/*.log')).read_text()
    assert '# network lr: of AdamW; small' in text and "# learning rate: the paper's" in text
    assert f'model.backbone took {len(start)} of the {len(start)} tensors of {out}/start.pth' in log
    assert 'Contrastive prior: features of the backbone that was loaded, of 40 images' in log
    # what it started from may be gone, and may not be given again
    assert main([*arguments, '--resume']) == 0
    out = out.rename(tmp_path / "it's moved")
    assert main([*arguments[:3], str(out), '--cpu', '--resume']) == 0
    assert pic_plugin.report(out).is_file()
    with pytest.raises(ValueError, match='was started with --from .*, and now --from resnet50 is given'):
        pic_plugin.pretrain(pictures, out, start='resnet50', resume=True)


@pytest.mark.parametrize('options, message', [
    (dict(start='resnet51'), 'neither mmpretrain nor timm has a network of that name'),
    (dict(backbone='resnet18'), "give backbone, or a network to go on from, and not both: got 'resnet18' and ResNet"),
    (dict(size=64), r'takes images of 1 channels, and these are trained on as pictures, of 3'),
])
def test_what_training_cannot_go_on_from(trained, pictures, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        pic_plugin.pretrain(pictures, tmp_path / 'out', cpu=True, **{'start': str(trained.out), **options})
    assert not (tmp_path / 'out').exists()


def test_nothing_is_overwritten(trained, pictures, capsys):
    before = trained.config.read_bytes()
    assert main(['pretrain', str(pictures), '--out', str(trained.out), '--cpu']) == 1
    assert 'is there already and is not overwritten: add --resume' in capsys.readouterr().err
    assert trained.config.read_bytes() == before


@pytest.mark.parametrize('given, message', [
    (dict(visits=3, size=32), 'was started with --visits 2 and no --size, and now --visits 3 and --size 32 is given'),
    (dict(visits=2, seed=1), 'was started with --seed 0, and now --seed 1 is given'),
    (dict(cfg_options={}, without=['unreadable', 'duplicates']),
     "started with no --without, and now --without unreadable,duplicates is"),
    (dict(tensorboard=True), 'was started with no --tensorboard, and now --tensorboard is given'),
    (dict(cfg_options={'model.head.temperature': 0.1}),
     'was started with --cfg-options .*_workers=.*, and now --cfg-options model.head.temperature=0.1 is given'),
])
def test_a_training_is_resumed_with_what_it_was_started_with(given, message, trained, pictures):
    with pytest.raises(ValueError, match=message):
        pic_plugin.pretrain(pictures, trained.out, resume=True, **given)


def test_a_training_is_resumed_with_its_images(trained, pictures, capsys):
    before = sorted(trained.out.rglob('*'))
    other = pictures / 'кресты'
    assert main(['pretrain', str(other), '--out', str(trained.out), '--resume']) == 1
    said = capsys.readouterr().err
    assert f"was started with the images of '{pictures}', and now the images of '{other}' is given" in said
    assert f'edit {trained.config} and go on with\npython {ROOT}/tools/train.py {trained.config} --work-dir' in said
    assert sorted(trained.out.rglob('*')) == before


def test_a_config_that_cannot_be_resumed(pictures, tmp_path):
    (tmp_path / 'config.py').write_text("work_dir = 'runs'")
    with pytest.raises(ValueError, match='does not say what the training was started with, .* go on with it\npython'):
        pic_plugin.pretrain(pictures, tmp_path, resume=True)
    (tmp_path / 'config.py').write_text('work_dir = ')
    with pytest.raises(ValueError, match=r'config.py cannot be read \(SyntaxError: .*mend it'):
        pic_plugin.pretrain(pictures, tmp_path, resume=True)


def test_a_file_is_no_folder_to_write_to(pictures, tmp_path):
    (tmp_path / 'out').write_text('mine')
    with pytest.raises(ValueError, match='is there already'):
        pic_plugin.pretrain(pictures, tmp_path / 'out', cpu=True)
    assert (tmp_path / 'out').read_text() == 'mine'


@pytest.mark.parametrize('make, message', [
    (lambda folder: None, 'there is no'),
    (lambda folder: folder.mkdir(), 'there must be images in'),
    (lambda folder: [folder.mkdir(), (folder / 'a.png').write_bytes(b'nothing')], 'none can be read'),
])
def test_no_images(make, message, tmp_path):
    make(tmp_path / 'data')
    with pytest.raises(ValueError, match=message):
        pic_plugin.pretrain(tmp_path / 'data', tmp_path / 'out', cpu=True)
    assert not (tmp_path / 'out').exists()


def test_images_are_left_out(pictures, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(pictures, data)
    shutil.copy(next(data.rglob('*.PNG')), data / 'again.png')
    (data / 'nothing.jpg').write_bytes(b'nothing')
    run = pic_plugin.pretrain(data, tmp_path / 'out', visits=1, cpu=True, without=['unreadable', 'duplicates'],
                              cfg_options=OPTIONS)
    names = (run.out / 'images.txt').read_text().splitlines()
    assert len(names) == 40 and 'nothing.jpg' not in names and len({'again.png', names[0]} & set(names)) == 1
    assert Config.fromfile(str(run.config)).train_dataloader.dataset.ann_file == str(run.out / 'images.txt')
    with pytest.raises(ValueError, match='images can be left out by .*, got blurred'):
        pic_plugin.pretrain(data, tmp_path / 'other', without=['blurred'], findings=run.out / 'findings.json')
    with pytest.raises(ValueError, match='give --without, too'):
        pic_plugin.pretrain(data, tmp_path / 'other', findings=run.out / 'findings.json')
    assert not (tmp_path / 'other').exists()


def test_one_image_is_too_few(pictures, tmp_path):
    (tmp_path / 'data').mkdir()
    shutil.copy(next(pictures.rglob('*.PNG')), tmp_path / 'data')
    with pytest.raises(ValueError, match='at least 16 images to learn from, got 1'):
        pic_plugin.pretrain(tmp_path / 'data', tmp_path / 'out', cpu=True)


def test_there_is_nothing_to_resume(pictures, tmp_path):
    with pytest.raises(ValueError, match='nothing to resume in .*: it has no config.py; leave out --resume'):
        pic_plugin.pretrain(pictures, tmp_path, resume=True)
    (tmp_path / 'images.txt').write_text('what a process left that was killed')
    with pytest.raises(ValueError, match='it has no config.py; choose another --out, and leave out --resume'):
        pic_plugin.pretrain(pictures, tmp_path, resume=True)
    with pytest.raises(ValueError, match='it holds no training to go on with; choose another --out'):
        pic_plugin.pretrain(pictures, tmp_path)


def test_images_are_looked_for_once(pictures, tmp_path):
    class EnoughError(Exception):
        pass

    with patch.object(pretrain, '_train', side_effect=EnoughError), \
            patch.object(InstanceDataset, 'load_data_list', autospec=True, side_effect=LIST) as listed:
        with pytest.raises(EnoughError):
            pic_plugin.pretrain(pictures, tmp_path / 'all', cpu=True, cfg_options=OPTIONS)
        assert listed.call_count == 1
        with pytest.raises(EnoughError):
            pic_plugin.pretrain(pictures, tmp_path / 'some', cpu=True, without=['duplicates'], cfg_options=OPTIONS)
        assert listed.call_count == 3  # the folder, and the file that names what is left
        pic_plugin.check(pictures)
        assert listed.call_count == 4


def test_for_tensorboard(pictures, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run = pic_plugin.pretrain(pictures, tmp_path / 'out', visits=1, cpu=True, tensorboard=True, cfg_options=OPTIONS)
    folder, = run.out.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    entries = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    assert [event.value for event in events.Scalars('loss')] == pytest.approx(
        [entry['loss'] for entry in entries if 'loss' in entry], rel=1e-6)
    assert 'health/rank_backbone' in events.Tags()['scalars'] and (run.out / 'curves.png').is_file()


def test_without_tensorboard(pictures, tmp_path):
    with patch.object(pretrain, 'find_spec', return_value=None), \
            pytest.raises(ValueError, match=r"needs the package tensorboard: pip install 'pic_plugin\[tensorboard\]'"):
        pic_plugin.pretrain(pictures, tmp_path / 'out', tensorboard=True)
    assert not list(tmp_path.iterdir())


def test_a_training_that_fails_says_so(pictures, tmp_path):
    with pytest.raises(ChildProcessError, match='training stopped with exit code 1; the same command with --resume'):
        pic_plugin.pretrain(pictures, tmp_path / 'out', visits=2, cpu=True,
                            cfg_options={**OPTIONS, 'train_cfg.type': 'NoLoop'})


def test_settings_that_do_not_go_together_are_found_before(pictures, tmp_path):
    with pytest.raises(ValueError, match='a trial of the training fails with these settings: mat1 and mat2'):
        pic_plugin.pretrain(pictures, tmp_path / 'out', cpu=True, cfg_options={**OPTIONS, 'model.neck.in_channels': 7})
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('options, message', [
    ({'work_dir': 'elsewhere'}, 'work_dir in --cfg-options cannot be: --out says where things go'),
    ({'train_dataloader.dataset.data_root': '/photos'}, 'data_root in --cfg-options cannot be: the settings are'),
    ({'visualizer.vis_backends.1.type': 'WandbVisBackend'}, 'do not fit into the config: .*exceeds the length of list'),
    ({'model.head.temperature.a': 1}, 'do not fit into the config: .*cannot inherit from base'),
])
def test_options_that_cannot_be(options, message, pictures, tmp_path):
    with pytest.raises(ValueError, match=message):
        pic_plugin.pretrain(pictures, tmp_path / 'out', cpu=True, cfg_options=options)
    assert not (tmp_path / 'out').exists()


def test_what_options_changed_is_said(pictures):
    images = images_from(pictures)
    plan = plan_training(InstanceDataset(**images), images, Path('runs'), cpu=True, visits=3, batch_size=16,
                         cfg_options={'train_cfg.max_epochs': 5, **OPTIONS})
    assert '  train_cfg.max_epochs=5, whatever stands above: by --cfg-options' in plan.lines()
    assert '    # by --cfg-options\n    max_epochs=5,\n' in plan.text('')
    assert plan.lines()[-1].startswith('120 views, 9 steps, at some ')  # 40 images are three batches, the last a half


def test_help_fits_on_a_screen(capsys):
    for command in ('check', 'pretrain', 'embed', 'report', 'export'):
        with pytest.raises(SystemExit):
            main([command, '--help'])
        text = capsys.readouterr().out
        assert len(text.splitlines()) <= 45 and 'default: None' not in text


def test_importing_is_light():
    code = "import sys, pic_plugin; assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules); pic_plugin.pretrain"
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match='has no attribute'):
        _ = pic_plugin.nothing
