r"""What a row missed while it was away from the accelerator: momentum and weight decay in closed form.

PIC, Section 2.3 and Appendix B.  In the convention of ``torch.optim.SGD`` (Eq. 2 and 4), one step is

.. math:: u \leftarrow m u + (g + \lambda w), \qquad w \leftarrow w - \eta u

With no gradient, :math:`g = 0`, that is linear in :math:`(w, u)` (Eq. 5):

.. math::
    \begin{pmatrix} w \\ u \end{pmatrix} \leftarrow T \begin{pmatrix} w \\ u \end{pmatrix}, \qquad
    T = \begin{pmatrix} 1 - \eta\lambda & -\eta m \\ \lambda & m \end{pmatrix}, \qquad \det T = m

Eq. 3 and 6 raise :math:`T` to the power of the number of missed steps, which holds for one constant learning rate.
Here the matrices of the steps that really happened are multiplied, so the result is exact under any schedule.
"""
import math

import torch
from torch import Tensor


class StepLog:
    """Every optimizer step's (learning rate, momentum, weight decay), and products over any last stretch of them.

    Level ``l`` holds the products over the aligned blocks of 2^l steps.  Steps ``clock .. now-1`` fall into at most
    two blocks of each level, so a product costs O(log(now)) small matrix products for all rows together; no matrix is
    inverted (the determinant is m per step: an inverse would blow up).  Appending costs two 2x2 products on average,
    and the memory is 88 bytes per step.
    """

    def __init__(self) -> None:
        self._length = 0
        self._steps = torch.empty(0, 3, dtype=torch.float64)
        self._levels: list[Tensor] = []

    def __len__(self) -> int:
        return self._length

    def append(self, lr: float, momentum: float, weight_decay: float) -> None:
        """Enter one step.

        Raises:
            ValueError: if a value is not finite.
        """
        for name, value in (('lr', lr), ('momentum', momentum), ('weight_decay', weight_decay)):
            if not math.isfinite(value):
                raise ValueError(f'{name} of step {self._length} must be finite, got {value}')
        self._steps = _with_room(self._steps, self._length)
        self._steps[self._length] = torch.tensor((lr, momentum, weight_decay), dtype=torch.float64)
        self._length += 1
        block = transition(*self._steps[self._length - 1])
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append(torch.empty(0, 2, 2, dtype=torch.float64))
            index = (self._length >> level) - 1
            self._levels[level] = _with_room(self._levels[level], index)
            self._levels[level][index] = block
            if index % 2 == 0:
                return
            block = block @ self._levels[level][index - 1]
            level += 1

    def product(self, clock: Tensor) -> Tensor:
        """The product of the steps from ``clock`` to now, the latest on the left.

        Args:
            clock: ``[R]`` int64, the number of steps that each row already includes.

        Returns:
            Tensor: ``[R, 2, 2]`` float64; the identity where ``clock`` is the present.

        Raises:
            ValueError: if a clock is negative or ahead of the log.
        """
        now = self._length
        if clock.numel() and not 0 <= int(clock.min()) <= int(clock.max()) <= now:
            raise ValueError(f'clock must lie between 0 and the {now} steps of the log, got '
                             f'{int(clock.min())} to {int(clock.max())}')
        clock = clock.clone()
        product = torch.eye(2, dtype=torch.float64).repeat(len(clock), 1, 1)

        def apply_block(level: int, rows: Tensor) -> None:
            product[rows] = self._levels[level][clock[rows] >> level] @ product[rows]
            clock[rows] += 1 << level

        levels = range(len(self._levels))
        for level in levels:  # upwards: to the next multiple of 2^(level+1), as long as a whole block is left
            apply_block(level, (clock >> level & 1).bool() & (clock + (1 << level) <= now))
        for level in reversed(levels):  # downwards: what is left of the log, in smaller and smaller blocks
            apply_block(level, clock + (1 << level) <= now)
        return product

    def state_dict(self) -> dict[str, Tensor]:
        """``{'steps': [T, 3] float64}``: lr, momentum and weight decay of every step."""
        return {'steps': self._steps[:self._length].clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the steps of ``state``; the products are formed level by level."""
        self._steps = state['steps'].to('cpu', torch.float64).clone()
        self._length = len(self._steps)
        self._levels = []
        blocks = transition(*self._steps.unbind(1))
        while len(blocks):
            self._levels.append(blocks)
            pairs = blocks[:len(blocks) // 2 * 2].unflatten(0, (-1, 2))
            blocks = pairs[:, 1] @ pairs[:, 0]


def _with_room(table: Tensor, index: int) -> Tensor:
    """``table``, or a copy of it of twice the length where ``index`` is beyond its end."""
    if index < len(table):
        return table
    return torch.cat([table, table.new_empty(max(16, len(table)), *table.shape[1:])])


def transition(lr: Tensor, momentum: Tensor, weight_decay: Tensor) -> Tensor:
    """The matrix T of one step without a gradient (Eq. 5).

    Args:
        lr: eta, float64 of any shape ``[*]``.
        momentum: m, ``[*]``.
        weight_decay: lambda, ``[*]``.

    Returns:
        Tensor: ``[*, 2, 2]``, acting on (w, u).
    """
    top = torch.stack([1 - lr * weight_decay, -lr * momentum], -1)
    bottom = torch.stack([weight_decay, momentum], -1)
    return torch.stack([top, bottom], -2)


def correct_(weight: Tensor, momentum: Tensor, transition: Tensor) -> None:
    """Apply each row's transition to its weight and momentum, in place (Eq. 3).

    Equals as many ``torch.optim.SGD`` steps with zero gradient as the transition is a product of.

    Args:
        weight: ``[R, D]``.
        momentum: ``[R, D]``.
        transition: ``[R, 2, 2]``.
    """
    ww, wu, uw, uu = (t[:, None] for t in transition.to(weight).flatten(1).unbind(1))
    old_weight = weight.clone()
    weight.mul_(ww).addcmul_(momentum, wu)
    momentum.mul_(uu).addcmul_(old_weight, uw)
