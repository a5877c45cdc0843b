"""Copies images to the device, and augments and normalises them there."""
from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from torch import Tensor

from pic_plugin.datasets.transforms import Augmentation
from pic_plugin.datasets.transforms.augment import DRAWN
from pic_plugin.registry import MODELS
from pic_plugin.rows.transfer import Transfers

from .compiled import Compiled


@MODELS.register_module()
class InstanceDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's ``SelfSupDataPreprocessor``, to the bit, which copies images without making the host wait.

    Pinned images are copied while it goes on, and samples, in which nothing is for the device, stay as they are.  What
    the data set's pipeline left to be done with the views is done here, with all views of a batch at once.

    Args:
        args: as in ``SelfSupDataPreprocessor``, but ``non_blocking``, which is True.

    Attributes:
        augmentations: what an ``InstanceDataset`` handed over.
    """
    mean: Tensor
    std: Tensor
    augmentations: Sequence[Augmentation] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, non_blocking=True, **kwargs)
        if self._enable_normalize:  # integers in a config
            self.mean, self.std = self.mean.float(), self.std.float()

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, the views, each ``[B, C, H, W]``, a single one with or without a list; ``data_samples``.
            training: plays no part.

        Returns:
            dict: the same, the views in float32 on the model's device.
        """
        given = self.cast_data(data['inputs'])
        views, samples = given if isinstance(given, list) else [given], data.get('data_samples')
        drawn = [sample.get(DRAWN) for sample in samples or []]
        if any(drawn):
            views = self._augmented(views, torch.tensor(drawn, dtype=torch.float64))
        else:
            if self._channel_conversion:
                views = [view.flip(1) for view in views]  # a list of indices would have to be sent to the device
            views = [self._normalised(view) for view in views]
        return {'inputs': views if isinstance(given, list) else views[0], 'data_samples': samples}

    def _augmented(self, views: list[Tensor], drawn: Tensor) -> list[Tensor]:
        """The views, prepared, with what was drawn for them, ``[B, views, parameters]`` on the host."""
        counts = [augmentation.num_parameters for augmentation in self.augmentations]
        if sum(counts) != drawn.shape[2]:
            raise ValueError(f'the samples have {drawn.shape[2]} parameters of augmentations for each view, and '
                             f'{sum(counts)} were expected: they are of a data set that handed its augmentations over '
                             "to another model; set this one's data_preprocessor.augmentations to what its "
                             'hand_over_augmentations() returns')
        of_size: dict[torch.Size, list[int]] = {}
        for i, view in enumerate(views):
            of_size.setdefault(view.shape, []).append(i)
        to_send = [[augmentation.to_send(parameters) for augmentation, parameters in zip(
            self.augmentations, torch.cat([drawn[:, i] for i in same]).split(counts, dim=1))]
            for same in of_size.values()]
        sent = iter(Transfers(self.device).send_together([x for of_group in to_send for of_one in of_group
                                                          for x in of_one]))
        out = list(views)
        for same, of_group in zip(of_size.values(), to_send):
            images = torch.cat([views[i] for i in same]) if len(same) > 1 else views[same[0]]
            parameters = [[next(sent) for _ in of_one] for of_one in of_group]
            prepare = _prepare_compiled if images.is_cuda else _prepare
            for i, view in zip(same, prepare(self, images, parameters).split(len(drawn))):
                out[i] = view
        return out

    def prepared(self, images: Tensor, parameters: Sequence[Sequence[Tensor]]) -> Tensor:
        """Images ``[B, C, H, W]`` of the batch augmented, by what was sent for each augmentation, and normalised."""
        images = images.flip(1).float()  # red comes first in what follows, and last in what mmcv loads
        for augmentation, of_one in zip(self.augmentations, parameters):
            images = augmentation.on_device(images, *of_one)
        if not self._channel_conversion:
            images = images.flip(1)
        return self._normalised(images)

    def _normalised(self, view: Tensor) -> Tensor:
        if not self._enable_normalize:
            return view.float()
        if view.dtype != torch.uint8:
            view = view.float()
        # bytes become float32 as they are read, and nothing is allocated twice
        return (view - self.mean).div_(self.std)


_prepare = InstanceDataPreprocessor.prepared
_prepare_compiled = Compiled(_prepare)
