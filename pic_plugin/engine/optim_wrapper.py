"""mmengine's optimizer wrappers, with a log of the steps that were really made.

With the log, a row of the classifier that was away is brought up to date (PIC, Section 2.3, weight update correction).
The wrapper also keeps what belongs to one rank's rows alone out of what all ranks share: the optimizer's state dict
and the norm that gradients are clipped by.
"""
from typing import Any, Optional

import torch
from mmengine.dist import is_distributed
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn

from pic_plugin.functional.weight_correction import StepLog
from pic_plugin.registry import OPTIM_WRAPPERS
from pic_plugin.sharding import Ranks

from .deferred_history import update_scalar_later
from .two_optimizers import TwoOptimizers, parameter_of_rows


class _WeightCorrection(OptimWrapper):
    """The log of steps, and the parameter that holds rows; see the public classes below.

    Attributes:
        step_log (StepLog): every step of the rows' optimizer, none that a gradient scaler skipped.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, row_optimizer: Optional[dict[str, Any]] = None,
                 **kwargs: Any) -> None:
        both: Any = optimizer
        if row_optimizer is None:
            _check_is_plain_sgd(optimizer, 'optimizer')
            self._row_optimizer: Any = optimizer
        else:
            self._row_optimizer = OPTIMIZERS.build({**row_optimizer, 'params': [parameter_of_rows(optimizer)]})
            _check_is_plain_sgd(self._row_optimizer, 'row_optimizer')
            both = TwoOptimizers(optimizer, self._row_optimizer)
        super().__init__(optimizer=both, **kwargs)
        self.step_log = StepLog()
        self._rows: Optional[nn.Parameter] = None
        self._ranks = Ranks()
        self._row_optimizer.register_step_post_hook(self._log_step)

    def track_rows(self, rows: nn.Parameter, ranks: Ranks) -> None:
        """Name the parameter whose slots hold this rank's rows.

        Raises:
            ValueError: if the optimizer does not have it.
        """
        self._rows, self._ranks = rows, ranks
        self._row_group  # noqa: B018  (raises where there is none)
        # the rows will have a momentum before the first step, and fused SGD wants all parameters to have one, or none
        for group in self._row_optimizer.param_groups:
            for parameter in group['params']:
                if group['momentum'] and self._row_optimizer.state[parameter].get('momentum_buffer') is None:
                    self._row_optimizer.state[parameter]['momentum_buffer'] = torch.zeros_like(parameter)

    @property
    def row_momentum(self) -> Tensor:
        """``[S, D]``, the optimizer's momentum buffer of the rows."""
        return self._row_optimizer.state[self._rows]['momentum_buffer']

    @row_momentum.setter
    def row_momentum(self, momentum: Tensor) -> None:
        self._row_optimizer.state[self._rows]['momentum_buffer'] = momentum

    @property
    def row_hyperparameters(self) -> dict[str, float]:
        """Learning rate, momentum and weight decay of the rows, as the next step would use them."""
        group = self._row_group
        return {name: float(group[name]) for name in ('lr', 'momentum', 'weight_decay')}

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Start an optimizer step with the next iteration, however many there were; see :meth:`continue_step`."""
        super().initialize_count_status(model, 0, max_counts - init_counts)

    @property
    def step_under_way(self) -> tuple[int, int]:
        """How many iterations of an optimizer step have been made, 0 between two steps, and of how many."""
        made = 0 if self.should_update() else self._inner_count % self._accumulative_counts
        left = self._max_counts - (self._inner_count - made) if self._max_counts >= 0 else self._accumulative_counts
        return made, min(left, self._accumulative_counts)

    def continue_step(self, made: int) -> None:
        """Go on, as training starts, with a step of which ``made`` iterations lie behind; their gradients wait."""
        self._inner_count = made
        self._max_counts += made
        self._remainder_counts = self._max_counts % self._accumulative_counts

    @property
    def _row_group(self) -> dict[str, Any]:
        for group in self._row_optimizer.param_groups:
            if any(parameter is self._rows for parameter in group['params']):
                return group
        raise ValueError('the optimizer must train the rows of the instance head, and does not have them; '
                         'do not freeze head.weight')

    def _log_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._rows is None:
            return
        # a fused optimizer is called also where the gradient scaler found inf, and skips the step by itself; the host
        # has to wait for it then, but not without a scaler, or with one that is not enabled: nothing is found there
        found_inf = getattr(optimizer, 'found_inf', None)
        if found_inf is None or not found_inf.item():
            self.step_log.append(**self.row_hyperparameters)

    def _clip_grad(self) -> None:
        """Clip by the norm over all ranks' rows, as one process with the whole table would."""
        if self.grad_name != 'grad_norm':
            super()._clip_grad()
            return
        norm_type = float(self.clip_grad_kwargs.get('norm_type', 2.0))
        parameters = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        norms: list[Tensor] = []
        for parameter, norm in zip(parameters, torch._foreach_norm([p.grad for p in parameters], norm_type)):
            norms += self._ranks.all_gather(norm) if parameter is self._rows else [norm]
        total = torch.linalg.vector_norm(torch.stack(norms), norm_type)
        if self.clip_grad_kwargs.get('error_if_nonfinite') and not total.isfinite():
            raise RuntimeError(f'The total norm of order {norm_type} of the gradients is {total.item()}')
        coefficient = (self.clip_grad_kwargs['max_norm'] / (total + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_([p.grad for p in parameters], coefficient)
        update_scalar_later(self.message_hub, 'train/grad_norm', total)

    def state_dict(self) -> dict[str, Any]:
        """mmengine's, with the log of steps, and without the momentum of the rows: those are checkpointed by row."""
        state = super().state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group['params']]
        state['state'] = {i: s for i, s in state['state'].items() if parameters[i] is not self._rows}
        state['step_log'] = self.step_log.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave; the rows' momentum stays."""
        state = dict(state_dict)
        self.step_log.load_state_dict(state.pop('step_log'))
        row_state = self._row_optimizer.state[self._rows] if self._rows is not None else None
        super().load_state_dict(state)
        if row_state is not None:
            self._row_optimizer.state[self._rows] = row_state

    def get_lr(self) -> dict[str, list[float]]:
        """mmengine's, for the log, with ``row_lr`` where the rows have an optimizer of their own."""
        rates = super().get_lr()
        if self._row_optimizer is not self.optimizer:
            rates['row_lr'] = [group['lr'] for group in self._row_optimizer.param_groups]
        return rates


def _count_inf_once(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Say 1 where several ranks found inf: the scaler adds them up, and fused SGD skips a step only at exactly 1."""
    if (found_inf := getattr(optimizer, 'found_inf', None)) is not None:
        optimizer.found_inf = found_inf.clamp(max=1)  # type: ignore[attr-defined]


def _check_is_plain_sgd(optimizer: torch.optim.Optimizer, name: str) -> None:
    if not isinstance(optimizer, torch.optim.SGD):
        advice = "; to train the network by it, give the rows an SGD of their own: row_optimizer=dict(type='SGD', ...)"
        raise ValueError(f'{name} must be SGD: the correction of rows that were away is the closed form of SGD with '
                         f'momentum and weight decay, got {type(optimizer).__name__}'
                         f'{advice if name == "optimizer" else ""}')
    for group in optimizer.param_groups:
        for option in ('nesterov', 'dampening', 'maximize'):
            if group[option]:
                raise ValueError(f'{name}.{option} must be left out: the correction of rows that were away does not '
                                 f'cover it, got {option}={group[option]}')


@OPTIM_WRAPPERS.register_module()
class WeightCorrectingOptimWrapper(_WeightCorrection):
    """:class:`mmengine.optim.OptimWrapper` that logs the steps of SGD, so that rows can be brought up to date.

    Only the rows need SGD.  With ``row_optimizer`` they have one of their own, and ``optimizer``, to which
    ``paramwise_cfg`` and ``constructor`` apply, may be any for the rest of the network.  Schedules go for both, each
    from its own rate; so does ``auto_scale_lr``; gradients are clipped by the norm of all.

    Args:
        optimizer: of all parameters, or, with ``row_optimizer``, of all but the rows.
        row_optimizer: config of an SGD for the rows; None to train them by ``optimizer``.
        kwargs: of :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ValueError: if the rows' optimizer is not ``torch.optim.SGD``, or uses nesterov, dampening or maximize; or the
            rows of ``row_optimizer`` are not found.
    """


@OPTIM_WRAPPERS.register_module()
class AmpWeightCorrectingOptimWrapper(_WeightCorrection, AmpOptimWrapper):
    """:class:`mmengine.optim.AmpOptimWrapper` that logs the steps of SGD, so that rows can be brought up to date.

    A step that the gradient scaler skips is not entered in the log.  With several ranks all of them skip it: each has
    the gradient of its own rows, so the scaler is the one that asks the others (torch's, for sharded parameters).

    Args:
        optimizer: as in :class:`WeightCorrectingOptimWrapper`.
        row_optimizer: as in :class:`WeightCorrectingOptimWrapper`.
        kwargs: of :class:`mmengine.optim.AmpOptimWrapper`, but ``use_fsdp``.

    Raises:
        ValueError: as :class:`WeightCorrectingOptimWrapper`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, use_fsdp=is_distributed(), **kwargs)
        self._row_optimizer.register_step_pre_hook(_count_inf_once)

    def step(self, **kwargs: Any) -> None:
        """Unscale the gradients, and step unless one of any rank is not finite."""
        if not self.clip_grad_kwargs:
            # here the scaler asks the other ranks; a fused optimizer would be left to look for inf by itself
            self.loss_scaler.unscale_(self.optimizer)
        super().step(**kwargs)
