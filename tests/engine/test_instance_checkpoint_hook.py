import time
from pathlib import Path
from unittest.mock import patch

from mmengine.runner import Runner

from pic_plugin.engine import InstanceCheckpointHook
from pic_plugin.engine.hooks import instance_checkpoint_hook
from tests.ranks import run_ranks
from tests.tiny import tiny_config, write_images


def save_slowly(rank, world_size, images, work_dir):
    """Whether the checkpoint was complete when saving it came to an end on this rank; rank 0 takes its time."""
    cfg = tiny_config(images, work_dir, launcher='pytorch', **{
        'model_wrapper_cfg': dict(type='MMDistributedDataParallel', device_ids=None), 'train_cfg.max_epochs': 1})
    publish, save, complete = instance_checkpoint_hook.publish, InstanceCheckpointHook._save_checkpoint_with_step, []

    def slow(*paths):
        time.sleep(0.3)
        publish(*paths)

    def watched(*args, **kwargs):
        save(*args, **kwargs)
        complete.append(Path(work_dir, 'last_checkpoint').exists())

    with patch.object(instance_checkpoint_hook, 'publish', slow), \
            patch.object(InstanceCheckpointHook, '_save_checkpoint_with_step', watched):
        Runner.from_cfg(cfg).train()
    return complete


def test_all_ranks_wait_on_the_host_until_a_checkpoint_is_complete(tmp_path):
    images = write_images(tmp_path / 'images', 23)
    assert run_ranks(save_slowly, 2, images, tmp_path / 'run') == [[True], [True]]
