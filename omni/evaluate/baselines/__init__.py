"""The turn-taking a user would otherwise build, run on the same scripts and judged by the same metrics.

A baseline is a detector and a rule in place of a model: it takes the floor when the detector says that the user's turn
has ended, speaks a fixed reply, and yields when the detector says that the user speaks. `BaselineEngine` has the
interface of `omni.engine.engine.Engine`, so whatever drives the one drives the other.

    engine = BaselineEngine(SileroVad, capacity=16)
    for task, outcome in simulate_all(engine, tasks): ...

    detector     speech                             the user's turn has ended             needs
    EnergyGate   100 ms, 10 dB above the noise      after 700 ms of quiet                 nothing
    SileroVad    250 ms at probability 0.5          after 550 ms of quiet                 silero-vad, onnxruntime
    SmartTurn    192 ms at probability 0.7          after 192 ms of quiet if smart-turn   the same, and the wheel of
                                                    agrees, else after 3 s more           pipecat-ai for its model

What such a system pays besides is left out, always in its favour: recogniser, language model and synthesizer answer at
once, so the reply sounds in the very next block. Only when it speaks and stops is comparable, never what it says.

The detector hears the room as it is. A script without echo therefore stands for perfect echo cancellation, and one
with echo for none at all: there the baseline hears itself and yields to itself.

Silero VAD is under the MIT licence, smart-turn under BSD-2-Clause. Nothing on the serving path imports this package.
"""
