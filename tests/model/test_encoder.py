"""Ears and connector: two streams from the first layer on, blocks that see the past, silence that adds nothing."""

from dataclasses import replace

import tiny
import torch

from omni.model.connector import NUM_CHARACTERS, Connector
from omni.model.encoder import CAPTION_CHARACTERS, CAPTION_SLOTS, Encoder, EncoderConfig


def _encoder() -> Encoder:
    return tiny.randomise(Encoder(tiny.ENCODER))


@torch.no_grad()
def test_a_block_sees_its_own_frames_and_none_of_the_next_block():
    encoder, room, own = _encoder(), torch.randn(1, 32, tiny.MELS), torch.randn(1, 32, tiny.MELS)
    before = encoder(room, own)
    for stream in (0, 1):
        streams = [room.clone(), own.clone()]
        streams[stream][:, 16:] += 1  # from block 2 on
        after = encoder(*streams)
        torch.testing.assert_close(after[:, :4], before[:, :4])
        assert not torch.allclose(after[:, 4], before[:, 4], atol=1e-3), "both frames of a block see all of it"


@torch.no_grad()
def test_captions_have_two_slots_a_frame():
    encoder = _encoder()
    frames = encoder(torch.randn(2, 32, tiny.MELS), torch.randn(2, 32, tiny.MELS))
    captions = encoder.captions(frames)
    assert frames.shape == (2, 8, 16) and captions.shape == (2, 8 * CAPTION_SLOTS, len(CAPTION_CHARACTERS) + 1)
    flat = encoder.caption(frames[0, 3]).view(CAPTION_SLOTS, -1)
    torch.testing.assert_close(captions[0, 6:8], flat)


@torch.no_grad()
def test_what_is_surely_silent_adds_nothing_to_what_the_mind_hears():
    connector = Connector(16, 12, block_frames=2)
    connector.spell.weight.zero_()
    connector.spell.bias.view(CAPTION_SLOTS, NUM_CHARACTERS)[:, 0] = 50.0  # blank, whatever is heard
    a, b = connector(torch.randn(1, 6, 16)), connector(torch.randn(1, 6, 16))
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a, connector.down.bias.expand_as(a))


@torch.no_grad()
def test_the_connector_spells_each_slot_in_its_own_place():
    connector = Connector(16, 12, block_frames=2)
    posterior = torch.zeros(1, 1, connector.num_slots, NUM_CHARACTERS)
    posterior[0, 0, 2, 5] = 1.0
    heard = connector.characters(connector.silence_free(posterior).flatten(2))
    torch.testing.assert_close(heard[0, 0], connector.characters.weight[:, 2 * NUM_CHARACTERS + 5])
    assert connector(torch.randn(3, 10, 16)).shape == (3, 5, 12)


def test_without_being_asked_for_there_is_no_head_but_the_characters():
    plain = {name: t.shape for name, t in Encoder(EncoderConfig()).state_dict().items()}
    assert {name.split(".")[0] for name in plain} == {"stem_1", "stem_2", "blocks", "norm", "caption"}
    full = Encoder(EncoderConfig(caption_pieces=50, sounds=10, speech=True)).state_dict()
    heads = {name for name in full if name.split(".")[0] in ("pieces", "sounds", "speech")}
    assert heads and {name: t.shape for name, t in full.items() if name not in heads} == plain


@torch.no_grad()
def test_heads_change_nothing_of_what_the_mind_is_given():
    full = tiny.randomise(Encoder(tiny.SENSES))
    plain = Encoder(tiny.ENCODER)
    plain.load_state_dict({name: t for name, t in full.state_dict().items() if name in plain.state_dict()})
    room, own = torch.randn(1, 32, tiny.MELS), torch.randn(1, 32, tiny.MELS)
    assert torch.equal(full(room, own), plain(room, own))


@torch.no_grad()
def test_sounds_and_speech_are_told_block_by_block():
    encoder = tiny.randomise(Encoder(replace(tiny.SENSES, sounds=4)))
    frames = torch.randn(2, 8, 16)
    sounds, speech = encoder.sounds(frames), encoder.speech(frames)
    assert sounds.shape == (2, 4, 4) and speech.shape == (2, 4, 1)
    frames[:, 5] += 1
    moved = (encoder.sounds(frames) != sounds).any(2)
    assert moved.tolist() == [[False, False, True, False]] * 2
