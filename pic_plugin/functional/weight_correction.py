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

_GROUP = 32


class StepLog:
    """Every optimizer step's (learning rate, momentum, weight decay), and products over any last stretch of them.

    Steps are grouped by 32, the groups by 32 again, and so on.  For each step (group, ...) the product from it to the
    end of its group is kept, or, in the group that is not full yet, to now.  Steps ``clock .. now-1`` are then one such
    product per level on the way up, and on the way down the groups that are not full: a handful of 2x2 products for any
    clock, for all rows together.  No matrix is inverted (the determinant is m per step: an inverse would blow up).
    The memory is 58 bytes per step.
    """

    _length: int
    _steps: Tensor  # [T', 3] float64 with T' >= T, the number of steps
    _levels: list[Tensor]  # [T' / 32^level, 2, 2] float64

    def __init__(self) -> None:
        self.load_state_dict({'steps': torch.empty(0, 3, dtype=torch.float64)})

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
        product, index = transition(*self._steps[self._length]), self._length
        self._length += 1
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append(torch.empty(0, 2, 2, dtype=torch.float64))
            self._levels[level] = to_end = _with_room(self._levels[level], index)
            group = index // _GROUP
            to_end[group * _GROUP:index] = _compose(product, to_end[group * _GROUP:index])
            to_end[index] = product
            if (index + 1) % _GROUP:
                return
            product, index = to_end[group * _GROUP].clone(), group

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
        product = torch.eye(2, dtype=torch.float64).repeat(len(clock), 1, 1)
        rest = torch.eye(2, dtype=torch.float64)  # of the groups below that are not full
        arrived = torch.zeros(len(clock), dtype=torch.bool)
        start, length = clock, now  # among a level's entries, those from ``start`` on are still to be multiplied
        for to_end in self._levels:
            if not length:
                break
            missing = (start < length) & ~arrived
            product = torch.where(missing[:, None, None],
                                  _compose(to_end[start.clamp(max=length - 1)], product), product)
            ends_here = (start // _GROUP == length // _GROUP) & ~arrived
            product = torch.where(ends_here[:, None, None], _compose(rest, product), product)
            arrived |= ends_here
            if length % _GROUP:
                rest = _compose(rest, to_end[length // _GROUP * _GROUP])
            start, length = start // _GROUP + 1, length // _GROUP
        return product

    def state_dict(self) -> dict[str, Tensor]:
        """``{'steps': [T, 3] float64}``: lr, momentum and weight decay of every step."""
        return {'steps': self._steps[:self._length].clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the steps of ``state``; the products have the bits that they had."""
        self._steps = state['steps'].to('cpu', torch.float64).clone()
        self._length = len(self._steps)
        self._levels = []
        products = transition(*self._steps.unbind(1))
        while len(products):
            length = len(products)
            filled_up = torch.eye(2, dtype=torch.float64).repeat(-(-length // _GROUP), _GROUP, 1, 1)
            filled_up.flatten(0, 1)[:length] = products
            to_end = filled_up.clone()
            for k in range(1, _GROUP):
                to_end[:, :k] = _compose(filled_up[:, k:k + 1], to_end[:, :k])
            self._levels.append(to_end.flatten(0, 1)[:length])
            products = to_end[:length // _GROUP, 0]


def _compose(later: Tensor, earlier: Tensor) -> Tensor:
    """``later @ earlier`` of ``[*, 2, 2]``, with the same bits however many there are, and in little time."""
    return later[..., :, :1] * earlier[..., :1, :] + later[..., :, 1:] * earlier[..., 1:, :]


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
