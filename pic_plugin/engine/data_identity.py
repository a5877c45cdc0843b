"""What a checkpoint says of the data: which image belongs to which row, and which comes when."""
from hashlib import sha256
from typing import Any

from mmengine.runner import Runner

from pic_plugin.datasets import InstanceDataset, SlidingWindowSampler


def data_identity(runner: Runner) -> dict[str, Any]:
    """Describe the data that a runner trains on, for a checkpoint."""
    dataset, sampler = runner.train_dataloader.dataset, runner.train_dataloader.sampler
    stream = None
    if isinstance(sampler, SlidingWindowSampler):
        stream = {name: getattr(sampler, name) for name in ('seed', 'window_size', 'window_stride', 'reshuffle')}
    classes = getattr(dataset, 'class_of_image', None)
    return {'num_instances': len(dataset), 'stream': stream,
            'fingerprint': dataset.fingerprint() if isinstance(dataset, InstanceDataset) else None,
            'classes': None if classes is None else sha256(classes.numpy().tobytes()).hexdigest()}


def resume_data(runner: Runner, now: dict[str, Any], saved: dict[str, Any]) -> None:
    """Go on with the order of the data that a checkpoint had; another window is warned of.

    Args:
        runner: that resumes.
        now: the :func:`data_identity` of its data; changed in place.
        saved: that of the checkpoint's.

    Raises:
        ValueError: if the rows would get other images.
    """
    if saved['num_instances'] != now['num_instances']:
        raise ValueError(f'the checkpoint is of a data set of {saved["num_instances"]} images, got one of '
                         f'{now["num_instances"]}; resume with the data that training started with')
    if saved['fingerprint'] != now['fingerprint']:
        raise ValueError("the data set's files have other names or another order than the checkpoint's, so rows would "
                         'get the wrong images; resume with the data that training started with')
    if saved.get('classes') != now['classes']:
        raise ValueError("the data set's images are of other classes than the checkpoint's, so rows would get the "
                         'wrong images; resume with the class_of_image that training started with')
    if now['stream'] and saved['stream']:
        now['stream']['seed'] = runner.train_dataloader.sampler.seed = saved['stream']['seed']
        if now['stream'] != saved['stream']:
            runner.logger.warning(f'the order of the data changes from {saved["stream"]} to {now["stream"]}')
