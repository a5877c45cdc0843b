import json

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner

from pic_plugin.engine import DeferredRuntimeInfoHook
from pic_plugin.engine.deferred_history import DeferredHistoryBuffer
from tests.tiny import tiny_config, write_images
from tests.waits import CountWaits

CLOCK = {'train/time', 'train/data_time'}


def trained(images, work_dir, hook, max_epochs, resume):
    runner = Runner.from_cfg(tiny_config(images, work_dir, resume=resume, **{
        'default_hooks.runtime_info.type': hook, 'default_hooks.logger.interval': 4, 'train_cfg.max_epochs': max_epochs,
        'optim_wrapper.clip_grad': dict(max_norm=0.5)}))
    runner.train()
    return runner


def what_can_be_seen(images, work_dir, hook):
    """Of a run that was resumed: what its logger wrote, the history, and that of its checkpoint."""
    trained(images, work_dir, hook, 2, resume=False)
    runner = trained(images, work_dir, hook, 4, resume=True)
    lines = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    written = [{name: value for name, value in line.items() if f'train/{name}' not in CLOCK} for line in lines
               if 'loss' in line]  # what is measured after an epoch is others'
    history = {name: [values.tolist() for values in buffer.data]
               for name, buffer in runner.message_hub.log_scalars.items() if name not in CLOCK}
    saved = torch.load(work_dir / 'epoch_4.pth', weights_only=True)['message_hub']['log_scalars']
    saved = {name: [values.tolist() for values in data] for name, data in saved.items() if name not in CLOCK}
    return runner, (written, history, saved)


def test_everybody_sees_the_numbers_of_mmengines_hook(tmp_path):
    images = write_images(tmp_path / 'images', 23)
    runner, ours = what_can_be_seen(images, tmp_path / 'ours', 'DeferredRuntimeInfoHook')
    _, theirs = what_can_be_seen(images, tmp_path / 'theirs', 'RuntimeInfoHook')
    for a, b in zip(ours, theirs):
        assert a == b
    written, history, saved = ours
    assert len(written) == 8  # in each epoch of six iterations after the fourth, and after the last
    assert len(history['train/loss'][0]) == len(history['train/grad_norm'][0]) == 24
    assert saved['train/loss'] == history['train/loss']
    assert isinstance(runner.message_hub.get_scalar('train/loss'), DeferredHistoryBuffer)


def test_takes_the_place_of_mmengines_and_does_not_wait(tmp_path):
    runner = Runner.from_cfg(tiny_config(write_images(tmp_path / 'images', 23), tmp_path / 'run'))
    hook, = (hook for hook in runner.hooks if isinstance(hook, RuntimeInfoHook))
    assert type(hook) is DeferredRuntimeInfoHook
    for i in range(3):
        with CountWaits() as waits:
            hook.after_train_iter(runner, i, None, {'loss': torch.tensor(float(i)), 'a': torch.tensor([i]), 'b': i})
        assert waits.count == (2 if i == 0 else 0)
    hook.after_train_iter(runner, 3, None, None)
    for name in 'loss', 'a', 'b':
        assert runner.message_hub.get_scalar(f'train/{name}').data[0].tolist() == [0, 1, 2]
