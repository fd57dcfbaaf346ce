"""The duplex model: ears, connector, language model, synthesizer, vocoder."""
