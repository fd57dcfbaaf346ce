"""Festival as a program: diphone voices that no lesson uses, with the time of every word and phone.

Evaluation only. Debian: `festival festvox-kdlpc16k` (https://www.cstr.ed.ac.uk/projects/festival; the voice ked is by
the Center for Spoken Language Understanding, OGI). One short process an utterance; it reads a program of ours, in which
a text can only be letters.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from omni.audio.files import read_mono
from omni.base.errors import OmniError
from omni.data.espeak import Speech

TIMEOUT_S = 60
_PROGRAM = """
(voice_{voice}_diphone)
(Parameter.set 'Duration_Stretch {stretch:.3f})
(set! int_lr_params '((target_f0_mean {pitch_hz:.1f}) (target_f0_std {spread_hz:.1f})
                      (model_f0_mean 170) (model_f0_std 34)))
(set! utt (SynthText "{text}"))
(mapcar (lambda (w) (format t "word %s %f %f\\n" (item.name w) (item.feat w "word_start") (item.feat w "word_end")))
        (utt.relation.items utt 'Word))
(mapcar (lambda (s) (format t "phone %s %f\\n" (item.name s) (item.feat s "end"))) (utt.relation.items utt 'Segment))
(utt.save.wave utt "{path}" 'riff)
"""


class Festival:
    """One voice.

    Raises:
        OmniError: festival or the voice is not installed.
    """

    def __init__(self, voice: str):
        self.voice = voice
        try:
            run = subprocess.run(["festival", "-b", f"(print (assoc '{voice}_diphone voice-locations))"],
                                 capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise OmniError("festival is not installed (Debian: apt-get install festival)") from error
        if f"{voice}_diphone" not in run.stdout:
            raise OmniError(f"festival has no voice {voice!r} (Debian: apt-get install festvox-kdlpc16k)")

    def speak(self, text: str, stretch: float = 1.0, pitch_hz: float = 105.0) -> Speech:
        """Synthesise `text`, of which letters, spaces and apostrophes are kept.

        Args:
            stretch: of durations; above 1 is slower.
            pitch_hz: mean of the intonation.

        Raises:
            OmniError: festival failed.
        """
        plain = " ".join(re.sub(r"[^A-Za-z' ]", " ", text).split())
        with tempfile.TemporaryDirectory() as folder:
            path, program = Path(folder) / "speech.wav", Path(folder) / "speak.scm"
            program.write_text(_PROGRAM.format(voice=self.voice, stretch=stretch, pitch_hz=pitch_hz,
                                               spread_hz=pitch_hz * 0.13, text=plain, path=path))
            try:
                run = subprocess.run(["festival", "-b", str(program)], capture_output=True, text=True,
                                     timeout=TIMEOUT_S, check=True)
                samples, rate_hz = read_mono(path)
            except (OSError, subprocess.SubprocessError) as error:
                raise OmniError(f"festival could not speak ({error})") from error
        lines = [line.split() for line in run.stdout.splitlines()]
        words = tuple((name, float(a), float(b)) for kind, name, a, b in (x for x in lines if x[:1] == ["word"]))
        ends = [(name, float(end)) for _, name, end in (x for x in lines if x[:1] == ["phone"])]
        starts = [0.0, *(end for _, end in ends)]
        return Speech(samples, rate_hz, words, tuple((n, a, b) for (n, b), a in zip(ends, starts, strict=False)))
