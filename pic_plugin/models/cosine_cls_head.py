"""The classifier of labels that compares by the cosine, as pre-training compares instances."""
from typing import Any

import torch
from mmpretrain.models import LinearClsHead
from torch import Tensor, nn

from pic_plugin.arguments import check_positive
from pic_plugin.functional.cosine_softmax import cosine_logits
from pic_plugin.registry import MODELS


@MODELS.register_module()
class CosineClsHead(LinearClsHead):
    r"""mmpretrain's ``LinearClsHead`` with the logits :math:`\cos(w_j, x) / \tau`, and so without a bias.

    PIC fine-tunes with it on iNaturalist 2018 (Appendix C).

    Args:
        num_classes: the number of classes, K.
        in_channels: the number of channels, D.
        temperature: tau.
        kwargs: of ``LinearClsHead``.

    Raises:
        ValueError: if tau is no positive number.
    """

    def __init__(self, num_classes: int, in_channels: int, temperature: float = 0.03, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        check_positive(float, temperature=temperature)
        self.temperature = temperature
        self.fc = nn.Linear(in_channels, num_classes, bias=False)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Logits ``[B, K]`` of the last of the backbone's features, ``[B, D]``; in full precision, as they are large.

        A half has steps of 1/32 at 1 / tau = 33.
        """
        with torch.autocast(feats[-1].device.type, enabled=False):
            return cosine_logits(self.pre_logits(feats).float(), self.fc.weight.float(), self.temperature)
