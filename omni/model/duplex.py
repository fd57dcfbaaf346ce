"""The duplex model: in every block of 80 ms it hears, decides one token, and gives 80 ms of sound.

    room dt ---> log-mel -+
    own last dt > log-mel +-> encoder -> connector -> e_ears --+
    token before, backlog ---------------------------> e_tok --+-> language model -> token -> grammar -> floor, queue
                                                                                       |
                        embedding of the piece + gate * projection of the state  <-----+
                                       -> synthesizer -> vocoder -> dt of sound

After SALMONN-omni (arXiv 2505.17060): no codec inside, one plain token in each idle block, own voice as a second
stream. `forward` runs whole conversations in parallel for training; `step` runs one block of many conversations and
shares every weight and every line of arithmetic with it.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from omni.base.config import LATER
from omni.base.timebase import Timebase
from omni.model.captions import Vocabulary
from omni.model.connector import PieceReader, SoundReader
from omni.model.cuts import first_word, is_cut, last_cut
from omni.model.ears import EarsConfig, build_connector, build_encoder, embeddings_per_block
from omni.model.encoder import EncoderConfig, caption_text
from omni.model.features import EAR_FLOOR, LogMel
from omni.model.language_model import LanguageModelConfig, RingLanguageModel, build_language_model
from omni.model.mouth import RAMP, Mouth, MouthConfig
from omni.model.tokens import CUT_0, END_SPEAK, FIRST_PIECE, MAX_WAITING, PAUSES, START_SPEAK, THINK, Pieces, allowed
from omni.nn.state import State, reset_rows, write

NUM_BACKLOGS = 2 * (MAX_WAITING + 1)  # pieces waiting (0 to 2), and whether one sounds


@dataclass(frozen=True, slots=True)
class DuplexConfig:
    """Every size of the model.

    Attributes:
        encoder: the ears, connector and all (`omni.model.ears`).
        layout: "summed" puts ears, own voice and token into one position a block; "interleaved" gives each its own.
        temperature: 0 decides greedily; above, tokens are drawn with each row's own generator.
        thinking: "explicit" feeds `<think>` back like any token (arXiv 2505.17060, table 9); "implicit" feeds nothing
            back after it: zeros stand in for its embedding.
        own_stream: the mind is given its own voice; without, the encoder alone hears it.
        read_pieces: the mind reads what the caption head by pieces says, beside frames and characters, so that it can
            learn from text in these pieces alone.
        read_sounds: the mind reads what the head for sounds says, so that it can learn to name them from text alone.
        sounds_kept_s: half-life of what sounded lately, which it reads as well, seconds; 0 for what sounds now alone.
        read_cut: beside `<cut_j>`, and beside the next `<start_speak>`, the mind has the piece at which it was cut:
            the first that was not heard to its end and is no pause, which is what "go on" begins with.
        floor_every: the floor is taken and given back in every so many-th block of a conversation alone, pieces come as
            before: 2 is the pace of agents with blocks of 160 ms.
        eagerness: added to the logit of `<start_speak>` while listening. Only for evaluation, which draws with it how
            soon an ambiguous pause is taken against how often wrongly: nothing on the serving path sets it, weights
            cannot carry it (`omni.model.weights`), and the grammar knows nothing of it.
    """

    encoder: EarsConfig = field(default_factory=EncoderConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    mouth: MouthConfig = field(default_factory=MouthConfig)
    layout: Literal["summed", "interleaved"] = "summed"
    temperature: float = 0.0
    thinking: Literal["explicit", "implicit"] = field(default="explicit", metadata=LATER)
    own_stream: bool = field(default=True, metadata=LATER)
    read_pieces: bool = field(default=False, metadata=LATER)
    read_sounds: bool = field(default=False, metadata=LATER)
    sounds_kept_s: float = field(default=0.0, metadata=LATER)
    read_cut: bool = field(default=False, metadata=LATER)
    floor_every: int = field(default=1, metadata=LATER)
    eagerness: float = field(default=0.0, metadata=LATER)

    def __post_init__(self) -> None:
        if self.floor_every < 1:
            raise ValueError(f"floor_every is at least 1, not {self.floor_every}")
        if not 0 <= self.sounds_kept_s < float("inf"):
            raise ValueError(f"sounds_kept_s is a time in seconds, not {self.sounds_kept_s}")
        if self.sounds_kept_s and not self.read_sounds:
            raise ValueError("sounds_kept_s: what sounded is kept to be read, with read_sounds alone")


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step decided, row first; see `omni.base.events.BlockResult` for the meaning of each."""

    token: Tensor        # i64 (B,)
    speaking: Tensor     # bool (B,)
    audio: Tensor        # f32 (B, 1280)
    tail: Tensor         # i64 (B,)
    stopped: Tensor      # i64 (B,) 0 no, 1 finished, 2 interrupted
    unheard: Tensor      # i64 (B,)
    begun_token: Tensor  # i64 (B, 8), -1 none
    begun_at: Tensor     # i64 (B, 8) sample offset in the output block
    ended_at: Tensor     # i64 (B, 8)
    ended_cut: Tensor    # bool (B, 8)
    caption: Tensor      # i64 (B, slots), -1 none


class DuplexModel(nn.Module):
    """Ears, mind and mouth. State: `mel` (of room and own voice), `encoder`, `mind`, `mouth`, and of each row `own`
    (B, 1280) its last output, `fed` (B,) the token fed back, `cut` (B,) the piece at which the last reply was cut
    (`<think>` for none, and without `read_cut`), `speaking` (B,) bool, `caption` (B,) last caption id on the best path,
    `seed` (B,) int64 of its own random numbers, and with `sounds_kept_s` `sounded`, see `SoundReader`.
    """

    def __init__(self, config: DuplexConfig, pieces: Pieces, vocabulary: Vocabulary | None = None):
        """Args:
            pieces: what it says.
            vocabulary: what its captions are made of if they come by pieces of words (`encoder.caption_pieces`).

        Raises:
            ValueError: two parts do not fit each other.
        """
        super().__init__()
        self.config, self.pieces, self.vocabulary, self.timebase = config, pieces, vocabulary, Timebase()
        if config.encoder.caption_pieces != (known := len(vocabulary) if vocabulary else 0):
            raise ValueError(f"a caption head for {config.encoder.caption_pieces} pieces cannot have {known}")
        width = config.mouth.synthesizer.drive_dim
        self.features = LogMel(num_mels=config.encoder.num_mels, floor=EAR_FLOOR)
        self.encoder = build_encoder(config.encoder)
        mind = build_language_model(config.language_model, len(pieces))
        if mind.config.hidden_size != width:
            raise ValueError(f"language model of width {mind.config.hidden_size} cannot drive a mouth of {width}")
        self.mouth = Mouth(config.mouth, len(pieces))
        mind.set_input_embeddings(self.mouth.embedding)
        heard = embeddings_per_block(config.encoder)
        if config.layout == "summed" and heard > 1:
            raise ValueError(f"ears with {heard} embeddings a block need layout 'interleaved'")
        if config.read_pieces and not known:
            raise ValueError("read_pieces: these ears have no captions by pieces")
        self.positions = 1 if config.layout == "summed" else heard + 1 + config.own_stream
        window = config.language_model.window * self.positions
        self.mind = RingLanguageModel(mind, window, config.language_model.pinned, self.positions)
        self.connector = build_connector(config.encoder, width)
        self.own_in = nn.Linear(8 * config.encoder.num_mels, width)
        self.token_in = nn.Linear(width, width)
        self.backlog = nn.Embedding(NUM_BACKLOGS, width)
        self.reader = PieceReader(known, width, config.encoder.block_frames) if config.read_pieces else None
        self.sound_reader = None
        if config.read_sounds:
            if self.encoder.sounds is None:
                raise ValueError("read_sounds: these ears have no head for sounds")
            blocks = config.sounds_kept_s * self.timebase.sample_rate_hz / self.timebase.block_samples
            self.sound_reader = SoundReader(config.encoder.sounds, width, blocks)
        self.cut_in = None
        if config.read_cut:
            self.cut_in = nn.Linear(width, width, bias=False)
            nn.init.zeros_(self.cut_in.weight)  # whoever learned without it goes on as before
        pauses = [i for i in range(len(pieces)) if pieces.symbol(i) in PAUSES]
        self.register_buffer("pauses", torch.tensor(pauses), persistent=False)
        self._fresh: State | None = None

    # ---- shared arithmetic ---------------------------------------------------------------------------------------

    def listen(self, frames_BTD: Tensor, own_mel_BTM: Tensor, said_BTC: Tensor | None = None,
               sounds_BTR: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of the room (B, T * N, D), N a block, and of the own voice (B, T, D).

        Args:
            frames_BTD, own_mel_BTM: encoder frames and own log-mel.
            said_BTC: logits of the caption head, needed with `read_pieces` alone.
            sounds_BTR: what there is to be read of sounds, needed with `read_sounds` alone.
        """
        blocks = own_mel_BTM.unflatten(1, (-1, 8)).flatten(2)
        room = self.connector(frames_BTD)
        if self.reader is not None:
            room = room + self.reader(said_BTC)
        if self.sound_reader is not None:
            room = room + self.sound_reader(sounds_BTR)
        own = self.own_in(blocks) if self.config.own_stream else room.new_zeros(*blocks.shape[:2], room.shape[2])
        return room, own

    def think_of(self, fed_BT: Tensor, backlog_BT: Tensor, cut_BT: Tensor | None = None) -> Tensor:
        """Embeddings of the token fed back and of the queue, (B, T, D).

        Args:
            cut_BT: pieces at which the last reply was cut; as `last_cut` finds them if not given.
        """
        token = self.token_in(self.mouth.drive(fed_BT))
        if self.config.thinking == "implicit":
            token = token * (fed_BT != THINK)[..., None]
        if self.cut_in is not None:
            cut = last_cut(fed_BT, backlog_BT, self.pauses) if cut_BT is None else cut_BT
            told = (cut != THINK) & (is_cut(fed_BT) | (fed_BT == START_SPEAK))
            token = token + self.cut_in(self.mouth.drive(cut)) * told[..., None]
        return token + self.backlog(backlog_BT)

    def arrange(self, ears: Tensor, own: Tensor, token: Tensor) -> Tensor:
        """Positions of the language model, (B, T * positions, D)."""
        if self.positions == 1:
            return ears + own + token
        streams = [ears.unflatten(1, (own.shape[1], -1)), own[:, :, None], token[:, :, None]]
        return torch.cat(streams if self.config.own_stream else streams[::2], 2).flatten(1, 2)

    def hear(self, room_BN: Tensor, own_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder frames of whole conversations, and their own log-mel (B, 8 T, num_mels). Args as of `forward`."""
        room_mel, own_mel = self.features(room_BN), self.features(own_BN)
        return self.encoder(room_mel, own_mel), own_mel

    def decide(self, frames_BTD: Tensor, own_mel_BTM: Tensor, fed_BT: Tensor, backlog_BT: Tensor,
               offset: int = 0) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) and hidden states (B, T, D) from what `hear` gives. Other args as of `forward`."""
        said = sounds = None
        with torch.no_grad():  # captions and sounds have lessons of their own
            if self.reader is not None:
                said = self.encoder.pieces(frames_BTD)
            if self.sound_reader is not None:
                sounds = self.sound_reader.readings(self.encoder.sounds(frames_BTD).sigmoid())
        ears, own = self.listen(frames_BTD, own_mel_BTM, said, sounds)
        x = self.arrange(ears, own, self.think_of(fed_BT, backlog_BT))
        hidden = self.mind(x, offset)[:, self.positions - 1::self.positions]
        return self.mind.logits(hidden), hidden

    def forward(self, room_BN: Tensor, own_BN: Tensor, fed_BT: Tensor, backlog_BT: Tensor,
                offset: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Whole conversations, time-parallel.

        Args:
            room_BN: microphone, N = T * 1280 samples.
            own_BN: own voice on the same clock (what sounds during each room block).
            fed_BT: token fed into each block (the decision of the block before, or `<cut_j>`).
            backlog_BT: pieces waiting + 3 if one sounds, at the start of each block.
            offset: shift of the language model's positions.

        Returns:
            logits (B, T, V), caption logits by characters (B, 4 T, characters), hidden states (B, T, D).
        """
        frames, own_mel = self.hear(room_BN, own_BN)
        logits, hidden = self.decide(frames, own_mel, fed_BT, backlog_BT, offset)
        return logits, self.encoder.captions(frames), hidden

    # ---- streaming -----------------------------------------------------------------------------------------------

    def init_state(self, num_rows: int) -> State:
        """Rows that have heard nothing and hold no floor."""
        device = self.backlog.weight.device
        integers = {name: torch.zeros(num_rows, dtype=torch.int64, device=device)
                    for name in ("fed", "cut", "caption", "seed")}
        sounded = {}
        if self.config.sounds_kept_s:
            sounded["sounded"] = self.backlog.weight.new_zeros(num_rows, self.encoder.config.sounds)
        return {"mel": self.features.init_state(num_rows, 2), "encoder": self.encoder.init_state(num_rows),
                "mind": self.mind.init_state(num_rows), "mouth": self.mouth.init_state(num_rows), **integers, **sounded,
                "own": self.backlog.weight.new_zeros(num_rows, self.timebase.block_samples),
                "speaking": torch.zeros(num_rows, dtype=torch.bool, device=device)}

    def reset_rows(self, state: State, rows: Tensor, seeds: Tensor | None = None) -> None:
        """Make the rows of the mask (B,) fresh, with their own seeds (B,)."""
        reset_rows(state, self.init_state(1), rows)
        if seeds is not None:
            write(state["seed"], seeds, rows)

    @torch.inference_mode()
    def step(self, room_BN: Tensor, unplayed_B: Tensor, active: Tensor, state: State) -> StepOutput:
        """One block of every active row. `unplayed_B`: trailing samples of the last output that never sounded."""
        samples = self.timebase.block_samples
        played = torch.arange(samples, device=room_BN.device)[None] < samples - unplayed_B[:, None]
        frames, own_mel, said = self.hear_next(room_BN, state["own"] * played, state, active)
        ears, own = self.listen(frames, own_mel, said, self.sounds_next(frames, state, active))
        synthesizer, queue = self.mouth.synthesizer, state["mouth"]["queue"]
        waiting, sounding = synthesizer.waiting(queue), synthesizer.sounding(queue)
        backlog = waiting + (MAX_WAITING + 1) * sounding
        x = self.arrange(ears, own, self.think_of(state["fed"][:, None], backlog[:, None], state["cut"][:, None]))
        hidden = self.mind.step(x, state["mind"], active)[:, -1]
        legal = self.legal(state, waiting, sounding)
        token = self._choose(self.mind.logits(hidden), legal, state, active)
        started, ended, piece = token == START_SPEAK, token == END_SPEAK, token >= FIRST_PIECE
        cut = ended & (sounding | (waiting > 0)) & active
        if self.cut_in is not None:
            write(state["cut"], first_word(synthesizer.unfinished(queue), self.pauses) * cut, active & ended)
        # every reply starts from silence, as in its lessons: the queue is empty here and the last sound has rung off
        reset_rows(state["mouth"], self._fresh_mouth(), started & active)
        synthesizer.push(queue, token, self.mouth.drive(token, hidden), piece & active)
        speaking = (state["speaking"] | started) & ~ended
        audio, record = self.mouth.step(cut, state["mouth"], self._fresh_mouth(), active)
        write(state["speaking"], speaking, active)
        write(state["fed"], torch.where(cut, CUT_0 + waiting, token), active)
        write(state["own"], audio, active)
        ended_at, ended_cut = self._ends(record["ended_at"], cut, sounding)
        return StepOutput(
            token=token, speaking=speaking, audio=audio, tail=RAMP * cut, stopped=ended.long() + cut.long(),
            unheard=waiting * cut, begun_token=torch.where(cut[:, None], -1, record["begun_token"]),
            begun_at=torch.where(cut[:, None], -1, record["begun_at"]), ended_at=ended_at, ended_cut=ended_cut,
            caption=self.captions(said, state, active))

    def hear_next(self, room_BN: Tensor, own_BN: Tensor, state: State, active: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`hear` for the next block, with `caption_logits`."""
        room_mel, own_mel = self.features.step(torch.stack([room_BN, own_BN], 1), state["mel"], active).unbind(1)
        frames = self.encoder.step(room_mel, own_mel, state["encoder"], active)
        return frames, own_mel, self.caption_logits(frames, state, active)

    def sounds_next(self, frames: Tensor, state: State, active: Tensor) -> Tensor | None:
        """What there is to be read of sounds in the next block (B, 1, R), of the frames that `hear_next` gives; None
        without `read_sounds`."""
        if self.sound_reader is None:
            return None
        return self.sound_reader.next_readings(self.encoder.sounds(frames).sigmoid(), state, active)

    def legal(self, state: State, waiting: Tensor, sounding: Tensor) -> Tensor:
        """What may be decided in the block that the mind has just read, (B, V) bool: the grammar's mask, and with
        `floor_every` no change of the floor between the blocks for it, in which it may always think."""
        legal = allowed(state["speaking"], waiting, sounding, len(self.pieces))
        if (every := self.config.floor_every) > 1:
            between = (state["mind"]["count"] // self.positions - 1) % every != 0
            legal[:, [START_SPEAK, END_SPEAK]] &= ~between[:, None]
            legal[:, THINK] |= between
        return legal

    def _choose(self, logits: Tensor, legal: Tensor, state: State, active: Tensor) -> Tensor:
        """The token of every row among those that are legal, (B, V)."""
        scores = logits.masked_fill(~legal, float("-inf"))
        if self.config.eagerness:
            scores[:, START_SPEAK] += self.config.eagerness  # while speaking it is out of the question anyway
        if self.config.temperature > 0:
            noise = _uniform(state["seed"], logits.shape[-1])
            scores = scores / self.config.temperature - torch.log(-torch.log(noise))
            write(state["seed"], _mix(state["seed"] + 1), active)
        return scores.argmax(-1)

    def _fresh_mouth(self) -> State:
        if self._fresh is None:
            self._fresh = self.mouth.init_state(1)
        return self._fresh

    @staticmethod
    def _ends(ended_at: Tensor, cut: Tensor, sounding: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of pieces; a piece that sounded when it was cut ends with the ramp."""
        first = torch.zeros_like(ended_at, dtype=torch.bool)
        first[:, 0] = True
        ended_cut = first & (cut & sounding)[:, None]
        return torch.where(cut[:, None], torch.where(ended_cut, RAMP, -1), ended_at), ended_cut

    def caption_logits(self, frames: Tensor, state: State, active: Tensor) -> Tensor:
        """What the caption head says of this block, once a block: of pieces where there is such a head, else of
        characters."""
        if self.encoder.pieces is not None:
            return self.encoder.pieces.step(frames, state["encoder"]["pieces"], active)
        return self.encoder.captions(frames)

    def captions(self, logits: Tensor, state: State, active: Tensor) -> Tensor:
        """Greedy CTC of `caption_logits`: new ids of this block, -1 where there is none."""
        best = logits.argmax(-1)
        before = torch.cat([state["caption"][:, None], best[:, :-1]], 1)
        write(state["caption"], best[:, -1], active)
        return torch.where((best > 0) & (best != before), best, -1)

    def caption_text(self, ids: list[int]) -> str:
        """The text of caption ids, as it goes on from the ids before: joined, texts are the caption."""
        if self.vocabulary is not None:
            return self.vocabulary.decode(ids)
        return caption_text([i for i in ids if i > 0])


def _mix(x: Tensor) -> Tensor:
    """A bijective scramble of int64 (splitmix64's finaliser, with arithmetic shifts)."""
    x = (x ^ (x >> 30)) * -4658895280553007687
    x = (x ^ (x >> 27)) * -7723592293110705685
    return x ^ (x >> 31)


def _uniform(seed_B: Tensor, count: int) -> Tensor:
    """(B, count) numbers in (0, 1), from each row's own seed."""
    index = torch.arange(count, device=seed_B.device)
    bits = _mix(_mix(seed_B)[:, None] + index[None]) & ((1 << 24) - 1)
    return (bits.float() + 0.5) / (1 << 24)



