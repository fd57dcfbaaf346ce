"""What is asked of the ears: characters, pieces of words in time, the phone that sounds, sounds, speech."""

import torch
import torch.nn.functional as F
from torch import Tensor

PRICE_NATS, MOST_NATS = 1.5, 12.0  # of a piece out of its time: for each frame, and at most


def ctc(logits_BTC: Tensor, targets: list[Tensor]) -> Tensor:
    """Mean CTC loss per character."""
    lengths = torch.tensor([len(t) for t in targets])
    frames = torch.full((len(targets),), logits_BTC.shape[1], dtype=torch.long)
    losses = F.ctc_loss(logits_BTC.float().log_softmax(2).transpose(0, 1), torch.cat(targets), frames, lengths,
                        reduction="none", zero_infinity=True)
    return losses.sum() / lengths.sum().clamp(min=1)


def timed_ctc(logits_BTC: Tensor, targets: list[Tensor], classes_BS: Tensor, late_BTS: Tensor) -> Tensor:
    """Mean CTC loss per piece, in which a path pays for every piece that it emits out of its time.

    Alignment-restricted CTC (after arXiv 2011.03072, there for transducers) with a price in place of a ban, since the
    times of real speech are not exact: each frame's log-probability of a piece is lowered by `PRICE_NATS` for each
    frame that it lies outside the piece's time, by `MOST_NATS` at most.

    Only the classes of a segment's own words take part in its paths, so the recursion runs over them alone. Its
    gradient for all classes is the softmax minus the share of paths through each class.

    Args:
        targets: local ids of each segment, 1 and up; classes_BS: the class of local id j + 1; late_BTS: frames out of
            time, see `omni.data.hearing.timed_pieces`.
    """
    B, T, _ = logits_BTC.shape
    logits_BTC = logits_BTC.float()
    with torch.no_grad():
        log_probs = logits_BTC.log_softmax(2)
        columns = F.pad(classes_BS, (1, 0))  # the blank in front
        local = log_probs.gather(2, columns[:, None].expand(B, T, -1))
        local[:, :, 1:] -= (PRICE_NATS * late_BTS).clamp(max=MOST_NATS)
    lengths = torch.tensor([len(t) for t in targets])
    frames = torch.full((B,), T, dtype=torch.long)
    with torch.enable_grad():
        local.requires_grad_()
        losses = F.ctc_loss(local.transpose(0, 1), torch.cat(targets), frames, lengths, reduction="none")
        fits = torch.isfinite(losses)
        # the library's gradient is exp(x) minus the share of paths: it leaves the softmax to log_softmax
        (slope,) = torch.autograd.grad(losses.sum(), local)
    with torch.no_grad():
        share = (local.exp() - slope).masked_fill(~fits[:, None, None], 0.0)
        gradient = log_probs.exp_() * fits[:, None, None]
        gradient.scatter_add_(2, columns[:, None].expand(B, T, -1), -share)
    value = torch.where(fits, losses, 0.0).detach().sum()
    # in value the loss, in gradient what was just worked out
    loss = value + (gradient * (logits_BTC - logits_BTC.detach())).sum()
    return loss / lengths.sum().clamp(min=1)


def known_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy where the label is 0 or 1; -1 asks nothing. Shapes are equal."""
    known = labels >= 0
    losses = F.binary_cross_entropy_with_logits(logits, labels.clamp(min=0).to(logits.dtype), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def mask(mel_BTM: Tensor, bands: int = 2, widest_band: int = 12, longest_span: int = 18) -> Tensor:
    """SpecAugment (arXiv 1904.08779): a few bands and short spans become each segment's mean."""
    B, T, M = mel_BTM.shape
    spans = T // 150
    hidden = _stripes(B, bands, M, widest_band)[:, None, :] | _stripes(B, spans, T, longest_span)[:, :, None]
    return torch.where(hidden.to(mel_BTM.device), mel_BTM.mean((1, 2), keepdim=True), mel_BTM)


def warp(mel_BTM: Tensor, factor_B: Tensor) -> Tensor:
    """Vocal tract length perturbation (Jaitly and Hinton, ICML workshop 2013), on mel bands: a throat `factor` times as
    long moves what was in band m to band m / factor, up to where the bands end.

    Args:
        mel_BTM: (B, T, M) log-mel; factor_B: (B,), 1 changes nothing.
    """
    num_bands = mel_BTM.shape[2]
    place = torch.arange(num_bands, device=mel_BTM.device)[None] * factor_B.to(mel_BTM.device)[:, None]
    place = place.clamp(max=num_bands - 1)
    low = place.long().clamp(max=num_bands - 2)
    share = (place - low)[:, None].to(mel_BTM.dtype)
    low = low[:, None].expand(-1, mel_BTM.shape[1], -1)
    return mel_BTM.gather(2, low) * (1 - share) + mel_BTM.gather(2, low + 1) * share


def _stripes(num_rows: int, count: int, size: int, widest: int) -> Tensor:
    """(num_rows, size) bool: `count` stripes of random place and width up to `widest`."""
    width = torch.randint(0, widest + 1, (num_rows, count, 1))
    at = torch.randint(0, max(size - widest, 1), (num_rows, count, 1))
    places = torch.arange(size)
    return ((places >= at) & (places < at + width)).any(1)
