"""Images to the device, and normalised there."""
from typing import Any

import torch
from mmpretrain.models import SelfSupDataPreprocessor
from torch import Tensor

from pic_plugin.registry import MODELS


@MODELS.register_module()
class InstanceDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's ``SelfSupDataPreprocessor``, with the same bits, for which the host does not wait.

    Pinned images are copied while it goes on, and samples, in which nothing is for the device, stay as they are.

    Args:
        args: as in ``SelfSupDataPreprocessor``, but ``non_blocking``, which is True.
    """
    mean: Tensor
    std: Tensor

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
        views = self.cast_data(data['inputs'])
        views = [self._normalised(view) for view in views] if isinstance(views, list) else self._normalised(views)
        return {'inputs': views, 'data_samples': data.get('data_samples')}

    def _normalised(self, view: Tensor) -> Tensor:
        if self._channel_conversion:
            view = view.flip(1)  # a list of indices would have to be sent to the device
        if not self._enable_normalize:
            return view.float()
        if view.dtype != torch.uint8:
            view = view.float()
        # bytes become float32 as they are read, and nothing is allocated twice
        return (view - self.mean).div_(self.std)
