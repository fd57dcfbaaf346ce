"""Where a reply was cut: the word that "go on" begins with.

    said    seven  eight  nine  ,  ten          `<cut_2>`: "," and "ten" waited, "nine" sounded
                          ^^^^
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.tokens import CUT_0, CUT_2, END_SPEAK, FIRST_PIECE, MAX_WAITING, THINK


def last_cut(fed_BT: Tensor, backlog_BT: Tensor, pauses: Tensor) -> Tensor:
    """The piece at which the last reply was cut, (B, T), from the block with its `<cut_j>` on; `<think>` before a first
    reply has ended, and where the last one came to its end.

    Of the pieces of a reply, the last j waited, and one sounded before those if the queue says so: the first of all
    these that is no pause; `<think>` if there is none. Rows may begin in the middle of a conversation; of what was said
    before nothing is known.

    Args:
        fed_BT, backlog_BT: tokens fed and the queue, see `omni.model.duplex.DuplexModel.forward`.
        pauses: (N,) ids of the pieces that are pauses.
    """
    blocks = fed_BT.shape[1]
    piece, cut = fed_BT >= FIRST_PIECE, is_cut(fed_BT)
    count = piece.cumsum(1)
    none = torch.full_like(fed_BT, -1)
    said = none.scatter_reduce(1, (count - 1).clamp(min=0), torch.where(piece, fed_BT, none), "amax")
    sounding = F.pad(backlog_BT[:, :-1] > MAX_WAITING, (1, 0))  # as the block before began, in which it was cut
    unheard = fed_BT - CUT_0 + sounding
    index = (count - unheard)[..., None] + torch.arange(MAX_WAITING + 1, device=fed_BT.device)
    found = said[:, None].expand(-1, blocks, -1).gather(2, index.clamp(0, blocks - 1))
    known = cut[..., None] & (index[..., :1] >= 0) & (index < count[..., None])
    word = first_word(torch.where(known, found, -1), pauses)
    block = torch.arange(blocks, device=fed_BT.device).expand_as(fed_BT)
    ended = torch.where(cut | (fed_BT == END_SPEAK), block, -1).cummax(1).values
    return torch.where(ended >= 0, word.gather(1, ended.clamp(min=0)), THINK)


def is_cut(token: Tensor) -> Tensor:
    """Whether a token is a `<cut_j>`, bool of its shape."""
    return (token >= CUT_0) & (token <= CUT_2)


def first_word(token: Tensor, pauses: Tensor) -> Tensor:
    """The first of the pieces (..., N) that is there (not below 0) and no pause, (...); `<think>` if there is none."""
    word = (token >= 0) & ~(token[..., None] == pauses).any(-1)
    first = token.gather(-1, word.long().argmax(-1, keepdim=True))[..., 0]
    return torch.where(word.any(-1), first, THINK)
