"""One optimizer for the network and one for the rows, which look like one."""
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


class TwoOptimizers:
    """What mmengine's wrappers, schedulers and torch's gradient scalers ask of an optimizer, of two.

    Their groups of parameters are one list, the network's first, and so are their states in a checkpoint.

    Args:
        network: of all parameters, the rows among them; they are taken out of it.
        rows: of the parameter that holds the rows, alone.

    Attributes:
        defaults: the network's.
    """

    def __init__(self, network: Optimizer, rows: Optimizer) -> None:
        self.network, self.rows, self.defaults = network, rows, network.defaults
        parameter = rows.param_groups[0]['params'][0]
        for group in network.param_groups:
            group['params'] = [other for other in group['params'] if other is not parameter]
        network.param_groups[:] = [group for group in network.param_groups if group['params']]
        network.state.pop(parameter, None)
        if 'betas' in network.defaults:  # mmengine's schedulers of the momentum then look for it there, in all groups
            for group in rows.param_groups:
                group['betas'] = (group['momentum'], 0.0)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both, the dicts themselves."""
        return self.network.param_groups + self.rows.param_groups

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """Of both, each parameter's dict itself."""
        return {**self.network.state, **self.rows.state}

    def zero_grad(self, **kwargs: Any) -> None:
        """As :meth:`torch.optim.Optimizer.zero_grad`."""
        self.network.zero_grad(**kwargs)
        self.rows.zero_grad(**kwargs)

    def step(self, **kwargs: Any) -> None:
        """A step of both; a gradient scaler decides beforehand whether there is one, for both."""
        self.network.step(**kwargs)
        self.rows.step()

    def state_dict(self) -> dict[str, Any]:
        """As :meth:`torch.optim.Optimizer.state_dict`."""
        network, rows = self.network.state_dict(), self.rows.state_dict()
        first = _num_parameters(network)
        groups = [{**group, 'params': [first + i for i in group['params']]} for group in rows['param_groups']]
        return {'state': {**network['state'], **{first + i: state for i, state in rows['state'].items()}},
                'param_groups': network['param_groups'] + groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave.

        Raises:
            ValueError: if it has another number of groups.
        """
        groups, expected = state_dict['param_groups'], len(self.param_groups)
        if len(groups) != expected:
            raise ValueError(f'the checkpoint has {len(groups)} groups of parameters, expected {expected}, the last of '
                             'them the rows: resume with the optimizer, row_optimizer and paramwise_cfg that training '
                             'started with')
        of_network = len(self.network.param_groups)
        for optimizer, part in ((self.network, groups[:of_network]), (self.rows, groups[of_network:])):
            ids = {i for group in part for i in group['params']}
            optimizer.load_state_dict({'state': {i: s for i, s in state_dict['state'].items() if i in ids},
                                       'param_groups': part})


def parameter_of_rows(optimizer: Optimizer) -> nn.Parameter:
    """The parameter that will hold the rows: before training starts it alone has no elements.

    Raises:
        ValueError: if there is none, or not one alone.
    """
    empty = [parameter for group in optimizer.param_groups for parameter in group['params'] if not parameter.numel()]
    if len(empty) != 1:
        raise ValueError('row_optimizer is for the rows of the instance head, which have no elements before training '
                         f'starts, and the optimizer has {len(empty)} parameters without elements, expected 1; do not '
                         'freeze head.weight, and leave no other parameter without elements')
    return empty[0]


def _num_parameters(state_dict: dict[str, Any]) -> int:
    return sum(len(group['params']) for group in state_dict['param_groups'])
