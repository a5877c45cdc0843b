"""Parametric instance classification (PIC, Algorithm 1)."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional, Union

import torch
from mmpretrain.models import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pic_plugin.arguments import check_positive
from pic_plugin.registry import MODELS

NO_PREDICTIONS = ("PIC has mode='loss' and mode='tensor' (features), and no mode='predict': its classes are the images "
                  'it was trained on.  During training, KNNHook in custom_hooks measures the features; afterwards, '
                  'tools/evaluate_features.py, or tools/benchmark_suite.py, which trains classifiers and detectors on '
                  'them.  Leave out val_dataloader, val_cfg and val_evaluator, and those of test')


@MODELS.register_module()
class PIC(BaseSelfSupervisor):
    """One branch: backbone, projection head, and a classifier with a row for each image.

    Several views of an image in one iteration are classified each, and their losses averaged.  With multi-crop the
    first ``num_large_views`` views train the rows and the network, the other, small, crops train the network alone.

    Args:
        backbone: any mmpretrain backbone.
        neck: the projection head, any mmpretrain neck.
        head: config of :class:`CosineInstanceHead`.
        num_large_views: how many of the views' losses send a gradient into the rows; all if None.
        kwargs: as in :class:`mmpretrain.models.BaseSelfSupervisor`.

    Raises:
        ValueError: if ``num_large_views`` is no positive whole number.
    """

    def __init__(self,
                 backbone: dict,
                 neck: Optional[dict] = None,
                 head: Optional[dict] = None,
                 num_large_views: Optional[int] = None,
                 **kwargs: Any) -> None:
        super().__init__(backbone=backbone, neck=neck, head=head, **kwargs)
        check_positive(int, optional=True, num_large_views=num_large_views)
        self.num_large_views = num_large_views
        # each rank has rows of its own: DistributedDataParallel must not broadcast or average them
        self._ddp_params_and_buffers_to_ignore = ['head.weight']

    def forward(self,
                inputs: Union[Tensor, list[Tensor]],
                data_samples: Optional[list[DataSample]] = None,
                mode: str = 'tensor') -> Any:
        """As :meth:`mmpretrain.models.BaseSelfSupervisor.forward`, with ``mode='predict'`` for :meth:`predict`."""
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def predict(self, inputs: Union[Tensor, list[Tensor]], data_samples: Optional[list[DataSample]] = None) -> Any:
        """Nothing: the classes are the images of the training set.

        Raises:
            NotImplementedError: always, with what there is instead.
        """
        raise NotImplementedError(NO_PREDICTIONS)

    def loss(self, inputs: Union[Tensor, list[Tensor]], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """The loss over the active classes.

        Args:
            inputs: the views, each ``[B, 3, H, W]``; a single view may come without a list.
            data_samples: B of them, with ``sample_idx``, ``class_idx`` where images share classes, and ``unreadable``
                where the image could not be read.

        Returns:
            dict: ``loss``, the mean over all ranks' samples and views.

        Raises:
            ValueError: if there are fewer views than ``num_large_views``.
        """
        views = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        ids = self.sample_ids(data_samples)
        num_large = len(views) if self.num_large_views is None else self.num_large_views
        if len(views) < num_large:
            raise ValueError(f'num_large_views is {num_large}, and the pipeline gave {len(views)} views of each image; '
                             "set DecodeCropResize's crops, or MultiView's num_views")
        features = [self.project(view, ids >= 0) for view in views]
        loss = self.head.loss(torch.stack(features[:num_large]), ids) * num_large
        if small := features[num_large:]:
            loss = loss + self.head.loss(torch.stack(small), ids, train_rows=False) * len(small)
        return {'loss': loss / len(views)}

    @staticmethod
    def sample_ids(data_samples: list[DataSample]) -> Tensor:
        """``[B]`` int64, the row of each sample: of its image, or of that's class; -1 where it could not be read."""
        return torch.tensor([-1 if sample.get('unreadable') else sample.get('class_idx', sample.sample_idx)
                             for sample in data_samples])

    def project(self, view: Tensor, readable: Tensor) -> Tensor:
        """Features ``[B, D]`` of one view; zero where the image could not be read: it takes part in no BatchNorm.

        A single readable image has no statistics, and none with which the running ones would be of use early on: it
        is left out too, by a feature of zeros, which gives no gradient.  The network still runs, for
        DistributedDataParallel.
        """
        if readable.all():
            return self._network(view)
        if readable.sum() < 2:
            with self._keeping_statistics():
                features = self._network(view)
            return features.where(features.new_zeros((), dtype=torch.bool), 0)
        readable = readable.to(view.device)
        features = self._network(view[readable])
        return features.new_zeros(len(view), *features.shape[1:]).index_put((readable, ), features)

    @contextmanager
    def _keeping_statistics(self) -> Iterator[None]:
        """BatchNorm's running statistics stay as they are."""
        momenta = [(module, module.momentum) for module in self.modules() if isinstance(module, _BatchNorm)]
        for norm, _ in momenta:
            norm.momentum = 0.0
        yield
        for norm, momentum in momenta:
            norm.momentum = momentum

    def _network(self, view: Tensor) -> Tensor:
        features = self.extract_feat(view)
        if self.with_neck:
            features = self.neck(features)
        return features[-1] if isinstance(features, (list, tuple)) else features
