"""A function of batches, compiled where there is a GPU."""
import logging
from collections.abc import Callable
from typing import Any, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils._pytree import tree_leaves


class Compiled:
    """A function of a batch, many small operations, of which ``torch.compile`` makes few kernels.

    What is compiled serves batches of any size but 1, of images of one height and width; others, and single images,
    have kernels of their own, which may round differently.

    Where nothing can be compiled (there is no Triton, or no C compiler, which Triton needs as well) the log says so
    once, and the operations are computed one by one.

    Args:
        function: whose tensors, in its arguments and lists in them, all have the batch as their first dimension.
        options: of ``torch.compile``.

    Attributes:
        failed (bool): whether it could not be compiled.
    """

    def __init__(self, function: Callable[..., Tensor], **options: Any) -> None:
        self.function, self.options = function, options
        self._compiled: Optional[Callable[..., Tensor]] = None
        self.failed = False

    def __call__(self, *args: Any) -> Tensor:
        """What the function gives."""
        if self.failed:
            return self.function(*args)
        try:
            if self._compiled is None:  # not before: torch's compiler takes seconds to import
                self._compiled = torch.compile(self.function, dynamic=False, **self.options)
            for tensor in tree_leaves(args):
                if isinstance(tensor, Tensor):
                    torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return self._compiled(*args)
        except Exception as error:  # compilers raise anything
            result = self.function(*args)  # and raises it again if it was not the compiler's
            self.failed = True
            print_log('what is done with images on the device cannot be compiled, and moves thirty times as many '
                      f'bytes: {error}', 'current', logging.WARNING)
            return result
