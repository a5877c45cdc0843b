"""Classes of several images through the Runner: checkpoints, the prior, unreadable images.  Training itself is held to
dense SGD in test_runner_dense.py."""
import pytest
import torch
from mmengine.runner import Runner

from pic_plugin.engine.hooks import InstanceRowsHook
from tests.tiny import assert_same, rows_of, tiny_config, trained_state, write_images

NUM_IMAGES, NUM_CLASSES = 23, 11


def write_classes(images, step=7):
    names = sorted(path.relative_to(images) for path in images.glob('*/*.png'))
    (images / 'classes.txt').write_text(
        ''.join(f'{name} {i * step % NUM_CLASSES}\n' for i, name in enumerate(names)))


@pytest.fixture
def images(tmp_path):
    write_classes(write_images(tmp_path / 'images', NUM_IMAGES))
    return tmp_path / 'images'


def run(images, folder, resume=None, hooks=(), **changes):
    cfg = tiny_config(images, folder, **{'train_dataloader.dataset.class_of_image': 'classes.txt',
                                         'train_cfg.max_epochs': 3, **changes})
    cfg.custom_hooks += list(hooks)
    if resume is not None:
        cfg.load_from, cfg.resume = str(resume), True
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_there_is_a_row_for_each_class_and_runs_resume(images, tmp_path):
    whole = run(images, tmp_path / 'whole')
    assert len(rows_of(whole)[0]) == NUM_CLASSES
    assert_same(trained_state(run(images, tmp_path / 'resumed', tmp_path / 'whole/epoch_2.pth')), trained_state(whole))


@pytest.mark.parametrize('class_of_image', ['classes.txt', ''])
def test_with_other_classes_it_does_not_resume(images, tmp_path, class_of_image):
    run(images, tmp_path / 'whole')
    write_classes(images, step=5)
    with pytest.raises(ValueError, match="the data set's images are of other classes than the checkpoint's, .*"
                                         'resume with the class_of_image that training started with'):
        run(images, tmp_path / 'resumed', tmp_path / 'whole/epoch_2.pth',
            **{'train_dataloader.dataset.class_of_image': class_of_image})


def test_rows_start_as_the_first_images_features(images, tmp_path):
    resize = dict(type='Resize', scale=8)
    runner = run(images, tmp_path / 'run', hooks=[dict(type='ContrastivePriorHook', running_bn=False)], **{
        'train_dataloader.dataset.pipeline': [
            dict(type='LoadImageFromFile', color_type='grayscale'), resize, dict(type='PackInputs')],
        'optim_wrapper.optimizer.lr': 0.0})
    classes = runner.train_dataloader.dataset.class_of_image
    first = [classes.tolist().index(i) for i in range(NUM_CLASSES)]
    dataset = runner.train_dataloader.dataset
    batch = dict(inputs=torch.stack([dataset[i]['inputs'] for i in first]),
                 data_samples=[dataset[i]['data_samples'] for i in first])
    with torch.no_grad():
        features = runner.model(runner.model.data_preprocessor(batch)['inputs'], mode='tensor')[0]
    torch.testing.assert_close(rows_of(runner)[0], features)


def test_unreadable_images_are_counted_not_classes(images, tmp_path):
    broken = sorted(images.glob('*/*.png'))[::NUM_CLASSES]  # three images of one class
    for path in broken:
        path.write_bytes(b'no image')
    some, few = ({'custom_hooks': [dict(type='InstanceRowsHook', max_unreadable_share=share)]} for share in (0.2, 0.1))
    runner = run(images, tmp_path / 'run', **some)
    hook = next(hook for hook in runner.hooks if isinstance(hook, InstanceRowsHook))
    assert hook._unreadable == {0, 11, 22}
    with pytest.raises(ValueError, match='3 of 23 images could not be read, more than max_unreadable_share=0.1'):
        run(images, tmp_path / 'few', **few)
