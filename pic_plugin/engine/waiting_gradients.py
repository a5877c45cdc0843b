"""Gradients that wait to be applied, for a checkpoint that falls within an optimizer step (gradient accumulation).

They are a folder beside the segments of the rows.  A row's belongs to its id.  The network's are another on each rank
until the last iteration of the step, when DistributedDataParallel averages them; so each rank's are kept, under the
number of the rank.  As many ranks as before go on with the same bits; others share them out: the average stays.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from pic_plugin.rows import Rows
from pic_plugin.rows.table import PIECE_ROWS
from pic_plugin.sharding import Ranks, block_of

from .checksums import add_sums, read_sums
from .sharded_tensors import Piece, read_pieces, write_pieces

_ROWS, _NETWORK = 'waiting/rows', 'waiting/network'


def save_gradients(folder: Path, rows: Rows, network: Mapping[str, nn.Parameter], ranks: Ranks) -> None:
    """Write the gradients of rows and network.  Collective.

    Args:
        folder: of the checkpoint's rows, which are written.
        rows: of this rank.
        network: all other parameters that are trained, by name.
        ranks: the ranks.
    """
    of_network = {name: parameter.grad[None].cpu() for name, parameter in network.items()
                  if parameter.grad is not None}
    for part, pieces in ((_ROWS, _of_rows(rows)), (_NETWORK, iter([(torch.tensor([ranks.rank]), of_network)]))):
        _, sums = write_pieces(folder / part, pieces, ranks)
        if ranks.rank == 0:
            add_sums(folder, {f'{part}/{name}': digest for name, digest in sums.items()})


def load_gradients(folder: Path, rows: Rows, network: Mapping[str, nn.Parameter], ranks: Ranks,
                   num_ranks: int) -> None:
    """Give rows and network the gradients that were saved.  Collective.

    Args:
        folder: that :func:`save_gradients` wrote to; its checksums are right.
        rows: of this rank, restored.
        network: all other parameters that are trained, by name.
        ranks: the ranks.
        num_ranks: how many ranks there were when it was written.

    Raises:
        ValueError: if a file is missing, or a gradient has another shape or dtype, or none such is expected.
    """
    names = read_sums(folder)
    held, slots = rows.held()
    rows.weight.grad = torch.zeros_like(rows.weight)
    template = {'gradient': torch.empty(0, rows.weight.shape[1], dtype=rows.weight.dtype)}
    for ids, fields in read_pieces(folder / _ROWS, _inside(names, _ROWS), rows.block, template, ranks):
        place = torch.searchsorted(held, ids)
        assert torch.equal(held[place], ids)  # the checkpoint has all rows with a gradient in slots
        rows.weight.grad[slots[place].to(rows.weight.device)] = fields['gradient'].to(rows.weight.device)

    templates = {name: torch.empty(0, *parameter.shape, dtype=parameter.dtype) for name, parameter in network.items()}
    mine = block_of(ranks.rank, num_ranks, ranks.size)
    for parameter in network.values():
        parameter.grad = None
    for _, fields in read_pieces(folder / _NETWORK, _inside(names, _NETWORK), mine, templates, ranks):
        for name, gradients in fields.items():
            parameter = network[name]
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            share = gradients.sum(0) * (ranks.size / num_ranks)  # of the average over the ranks
            parameter.grad += share.to(parameter.device)


def _of_rows(rows: Rows) -> Iterator[Piece]:
    ids, slots = rows.held()
    gradient = rows.weight.grad
    assert gradient is not None
    for some_ids, some_slots in zip(ids.split(PIECE_ROWS), slots.split(PIECE_ROWS)):
        if len(ids):
            yield some_ids, {'gradient': gradient[some_slots.to(gradient.device)].cpu()}


def _inside(names: Mapping[str, str], part: str) -> list[str]:
    """The names of a part's files as seen from there.

    Raises:
        ValueError: if there are none.
    """
    inside = [name.removeprefix(f'{part}/') for name in names if name.startswith(f'{part}/')]
    if not inside:
        raise ValueError(f'the checkpoint is damaged: it fell within an optimizer step, and has no {part}; resume from '
                         'another checkpoint')
    return inside
