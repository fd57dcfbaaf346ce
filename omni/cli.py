"""The `omni` command: parse, load, call. Everything else lives in the packages below it.

Exit codes: 0 done, 1 failed, 2 bad input or usage, 130 interrupted (what was done is kept).
"""

import argparse
import re
import sys

from omni import __version__
from omni.base.errors import ConfigError, OmniError


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="omni", description="A full-duplex realtime voice agent that is one neural "
                                     "model: it listens, thinks and speaks in every 80 ms block.")
    parser.add_argument("--version", action="version", version=f"omni {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_talk, _add_converse, _add_simulate, _add_evaluate, _add_train, _add_data, _add_bench):
        add(commands)
    args = parser.parse_args(argv)
    try:
        return args.call(args)
    except OmniError as error:
        print(f"omni {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"omni {args.command}: interrupted", file=sys.stderr)
        return 130


def _add_serve(commands) -> None:
    from omni.serve.arguments import add_arguments

    def call(args) -> int:
        from omni.serve.command import run as serve
        return serve(args)

    parser = commands.add_parser("serve", help="serve the page and the protocols", description="Serve the page on "
                                 "which a person talks to the agent, and the protocols that programs use.")
    add_arguments(parser)
    parser.set_defaults(call=call)


def _add_talk(commands) -> None:
    def call(args) -> int:
        from omni.transport.talk import main as talk

        def make_worker():
            # Torch is imported here: a missing microphone is told at once, not after seconds of loading.
            from omni.engine.engine import Engine
            from omni.engine.worker import EngineWorker
            from omni.model.weights import load_model
            model = load_model(args.model, device=args.device, packed=True)
            return EngineWorker(Engine(model, capacity=1, device=args.device, threads=args.threads))

        return talk(args, make_worker)

    parser = commands.add_parser("talk", help="talk through microphone and speaker", description="Talk to the agent "
                                 "through this machine's microphone and speaker. Wear headphones: a terminal has no "
                                 "echo canceller.")
    parser.add_argument("--server", metavar="URL", help="talk to a running server instead of a model in this process, "
                        "e.g. http://127.0.0.1:8765")
    parser.add_argument("--token", help="the server's secret (better: the environment's OMNI_TOKEN)")
    parser.add_argument("--insecure", action="store_true", help="accept the server's self-signed certificate")
    parser.add_argument("--input", metavar="DEVICE", help="microphone: its number, or part of its name")
    parser.add_argument("--output", metavar="DEVICE", help="speaker: its number, or part of its name")
    parser.add_argument("--list-devices", action="store_true", help="show the sound devices and leave")
    parser.add_argument("--instructions", default="", metavar="TEXT", help="what the agent is asked to be")
    _add_model(parser)
    parser.set_defaults(call=call)


def _add_converse(commands) -> None:
    def call(args) -> int:
        from omni.evaluate.converse import main as converse
        return converse(args)

    parser = commands.add_parser("converse", help="one full-duplex pass over a recording", description="Let the agent "
                                 "hear a recording as if it happened now, and write down what it answers and when.")
    # "--echo -20,120" is a value, although it begins with a dash: argparse decides that by this expression.
    parser._negative_number_matcher = re.compile(r"^-\d+(\.\d+)?(,.*)?$")
    parser.add_argument("source", metavar="IN", help="recording: WAV, FLAC or Ogg, any rate, any channels")
    parser.add_argument("--out", required=True, metavar="OUT.wav", help="gets IN's rate and length, on IN's time")
    parser.add_argument("--events", metavar="EVENTS.jsonl", help="gets what happened, one JSON object a line")
    parser.add_argument("--stereo", action="store_true", help="write the user left and the agent right")
    parser.add_argument("--echo", metavar="GAIN_DB,DELAY_MS[,IR.wav]", help="feed the agent's voice back into its "
                        "microphone, e.g. -20,120 or -12,60,room.wav")
    parser.add_argument("--timings", metavar="T.json", help="gets compute time per block and the real-time factor")
    _add_model(parser)
    parser.set_defaults(call=call)


def _add_model(parser, seed: str = "of the conversation's random generator (default: 0)") -> None:
    """Which weights run where: the same for every command that runs a model in this process; `seed` says what that is
    for."""
    parser.add_argument("--model", default="tiny", metavar="NAME|PATH", help="weights (default: tiny, shipped)")
    parser.add_argument("--seed", type=int, default=0, help=seed)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    # One is enough for the shipped model, and two that wait for each other on a busy machine are slower than none.
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="torch threads an operation (default: 1)")


_DRAWING = ("of all that is drawn (what is said, by whom, when, how loud) and of the model's random generator: another "
            "one, other conversations (default: 0)")


def _add_simulate(commands) -> None:
    def call(args) -> int:
        if args.webrtc and not args.server:
            raise ConfigError("--webrtc is a way to a running server: add --server URL")
        if args.add_ms is not None and (args.server or args.recorded):
            raise ConfigError("--add-ms is of virtual time: leave it out with --server and --recorded")
        if args.server:
            from omni.evaluate.live import main as simulate
        elif args.recorded:
            from omni.evaluate.recorded import main as simulate
        else:
            from omni.evaluate.simulate import main as simulate
        return simulate(args)

    parser = commands.add_parser("simulate", help="run scripted conversations in virtual time, or live on a server",
                                 description="Let a scripted user talk to the agent, and judge what it did. Exit code "
                                 "0 if every expectation held, 1 if not, 2 if a script is wrong or a server refuses. "
                                 "Ctrl-C keeps what is done; --resume goes on.")
    parser.add_argument("scripts", metavar="SCRIPT.yaml", nargs="+", help="scripts, or names of those that come with "
                        "the project: turn, pause, barge_in, backchannel, echo")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets conversation.wav (user left, agent right), "
                        "trace.jsonl, timeline.png and verdicts.json; with several conversations, a folder "
                        "SCRIPT/VARIANT for each")
    parser.add_argument("--listen", action="store_true", help="write a page that plays the recording along the "
                        "timeline")
    parser.add_argument("--batch", type=int, metavar="N", help="conversations held at once (default: 16; 1 on a "
                        "server)")
    parser.add_argument("--resume", action="store_true", help="leave out conversations that DIR holds already")
    parser.add_argument("--add-ms", type=int, metavar="MS", help="what computing and a network would put on everything "
                        "the agent does, added to the times it is judged by (default: 125, or 25 where the script has "
                        "its own network; nothing with --server, what was added then with --recorded)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--server", metavar="URL", help="hold them in real time on a running server, over a "
                         "WebSocket, e.g. http://127.0.0.1:8765; --seed is then of the network's chance too")
    instead.add_argument("--recorded", metavar="FROM", help="hold none: judge those that the folder FROM holds by what "
                         "the scripts expect now")
    live = parser.add_argument_group("with --server", "A conversation's folder gets way.json too: what the network "
                                     "lost and delayed.")
    live.add_argument("--webrtc", action="store_true", help="call it over WebRTC, as its page does: Opus in RTP both "
                      "ways, events on a data channel. What --delay-ms, --jitter-ms and --loss do is then done to "
                      "every UDP datagram, ICE's and the DTLS handshake's too, so connecting takes longer as well")
    live.add_argument("--delay-ms", type=float, default=0.0, metavar="MS", help="of everything, each way (default: 0)")
    live.add_argument("--jitter-ms", type=float, default=0.0, metavar="MS", help="more delay, up to this (default: 0)")
    live.add_argument("--loss", type=float, default=0.0, metavar="SHARE", help="of the frames of 20 ms, each way, that "
                      "are replaced by silence, or of the datagrams with --webrtc, e.g. 0.05 (default: 0)")
    live.add_argument("--token", help="the server's secret (better: the environment's OMNI_TOKEN)")
    live.add_argument("--insecure", action="store_true", help="accept the server's self-signed certificate")
    _add_model(parser, seed=_DRAWING)
    parser.set_defaults(call=call)


def _add_evaluate(commands) -> None:
    def call(args) -> int:
        others = bool(args.server or args.recorded)
        if others and args.suite in ("fdb", "voice", "senses", "world"):
            raise ConfigError(f"{args.suite} runs the model in this process: --server and --recorded are for scripts")
        if args.webrtc and not args.server:
            raise ConfigError("--webrtc is a way to a running server: add --server URL")
        if (args.curve or args.eagerness is not None) and args.suite != "world":
            raise ConfigError("--curve and --eagerness are of world: omni evaluate world --curve")
        if args.times != 1 and args.suite in ("fdb", "voice", "senses", "world"):
            raise ConfigError(f"--times is of scripts, and {args.suite} has none")
        if args.only and args.suite in ("fdb", "voice"):
            raise ConfigError(f"--only is of scripts, senses and world, not of {args.suite}")
        args.model = args.model or (None if others else "tiny")
        if args.suite == "fdb":
            from omni.evaluate.fdb.command import main as evaluate
        elif args.suite == "voice":
            from omni.evaluate.voice import main as evaluate
        elif args.suite == "senses":
            from omni.evaluate.senses.command import main as evaluate
        elif args.suite == "world":
            from omni.evaluate.world.command import main as evaluate
        else:
            from omni.evaluate.suite import main as evaluate
        return evaluate(args)

    parser = commands.add_parser("evaluate", help="measure an agent over a suite of conversations", description="Hold "
                                 "the scripted conversations of a suite, many at once, and report how the agent takes, "
                                 "holds and yields the floor, beside the turn-taking one would otherwise use, or an "
                                 "agent of your own. Ctrl-C keeps what is done; the same command goes on.")
    parser.add_argument("suite", metavar="SUITE", nargs="?", help="smoke, duplex, hearing, echo, network, "
                        "endurance, a folder of scripts, fdb (Full-Duplex-Bench v1 and v1.5), voice (is it "
                        "understood?), senses (ears and voice, each for itself) or world (is it right about all that "
                        "it should know?)")
    parser.add_argument("--out", metavar="DIR", help="gets report.html, report.json and every conversation")
    parser.add_argument("--baseline", action="append", default=[], metavar="NAME", help="hold the same conversations "
                        "with it too: energy_gate, silero_vad, smart_turn; may be repeated")
    parser.add_argument("--control", action="append", default=[], choices=["swapped", "deaf", "random_weights"],
                        help="hold them with an agent that must fail too: one that hears another conversation's "
                        "microphone, nothing, or was never trained; may be repeated")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="hold N times the variants of every script, "
                        "each drawn anew, so that more events stand behind a number (default: 1)")
    parser.add_argument("--most", type=int, metavar="N", help="at most N conversations of each script, or items of "
                        "each task of senses, or about N questions of each skill of the world")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help="of a suite this script; of "
                        "senses this row, task or group of tasks: captions (an4, words, orders, unseen_engine), ears "
                        "(with echo and sounds), voice (understood, vocoder, seams), compute; of the world a skill, "
                        "go_on, memory, real_orders, real_orders_12db, real_strings, pauses, ambiguous, or skills, "
                        "answers, real; may be repeated")
    parser.add_argument("--add-ms", type=int, default=125, metavar="MS", help="what computing and a network would put "
                        "on everything an agent does, added before it is measured (default: 125: 25 of computing, 40 "
                        "of slack for late packets, 60 of a client's buffer); nothing is added in real time")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="conversations held at once (default: 16)")
    parser.add_argument("--pictures", action="store_true", help="draw timeline.png of every conversation, not only of "
                        "the worst ten: a second each")
    parser.add_argument("--compare", nargs=2, metavar=("A.json", "B.json"), help="say what changed beyond noise "
                        "between two reports, and leave")
    parser.add_argument("--recorded", action="append", default=[], metavar="NAME", help="hold none: score those that "
                        "lie in DIR/NAME, held before or by another agent (SCRIPT/VARIANT/ with conversation.wav and "
                        "trace.jsonl each; without a verdicts.json they are taken as they sound, nothing is added); "
                        "may be repeated. The model in this process then takes part only with --model")
    live = parser.add_argument_group("with --server", "A conversation's folder gets way.json too: what the network "
                                     "lost and delayed. A script's own network is left out: it takes the one that is "
                                     "there.")
    live.add_argument("--server", metavar="URL", help="hold them in real time with an agent that runs there, over a "
                      "WebSocket, e.g. http://127.0.0.1:8765. The model in this process then takes part only with "
                      "--model")
    live.add_argument("--name", default="server", metavar="NAME", help="what that agent is called in the report and in "
                      "DIR (default: server); another one at the same URL needs another name")
    live.add_argument("--at-once", type=int, default=1, metavar="N", help="conversations held with it at once, 1 to 64 "
                      "(default: 1); a server has room for only so many")
    live.add_argument("--webrtc", action="store_true", help="call it over WebRTC; see omni simulate --help")
    live.add_argument("--delay-ms", type=float, default=0.0, metavar="MS", help="of everything, each way (default: 0)")
    live.add_argument("--jitter-ms", type=float, default=0.0, metavar="MS", help="more delay, up to this (default: 0)")
    live.add_argument("--loss", type=float, default=0.0, metavar="SHARE", help="of the frames of 20 ms, each way, that "
                      "are replaced by silence, or of the datagrams with --webrtc (default: 0)")
    live.add_argument("--token", help="the server's secret (better: the environment's OMNI_TOKEN)")
    live.add_argument("--insecure", action="store_true", help="accept the server's self-signed certificate")
    fdb = parser.add_argument_group("of fdb")
    fdb.add_argument("--root", metavar="DIR", help="the benchmark's recordings: the folder that holds v1_0 or v1_5, or "
                     "the tasks; outputs and fdb.json go there")
    fdb.add_argument("--resume", action="store_true", help="leave out recordings that have an output of this model and "
                     "seed")
    fdb.add_argument("--score-only", action="store_true", help="score the outputs that are there; run no model")
    senses = parser.add_argument_group("of senses")
    senses.add_argument("--runs", nargs="+", metavar="DIR", help="measure these side by side: weights folders, or runs "
                        "of stages ears, voice, adversary and duplex")
    world = parser.add_argument_group("of world")
    world.add_argument("--voices", choices=["unseen", "variants"], default="unseen", help="who asks: voices of another "
                       "kind of synthesis than any lesson's, or variants of a known kind that no lesson has (default: "
                       "unseen)")
    world.add_argument("--curve", action="store_true", help="ask pauses, ambiguous and facts alone, of the model at "
                       "several eagernesses: how soon it answers against how often it takes the floor in a pause; also "
                       "a picture, curve.png")
    world.add_argument("--eagerness", nargs="+", type=float, metavar="E", help="of the curve, which is then drawn: "
                       "what is added to the logit of taking the floor (default: -6 -4 -2 0 2 4)")
    _add_model(parser, seed=_DRAWING)
    parser.set_defaults(call=call, model=None)      # `call` knows whether one is wanted


def _add_train(commands) -> None:
    def call(args) -> int:
        from omni.train.stages import main
        return main(args)

    parser = commands.add_parser(
        "train", help="train a model, stage by stage", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run a stage of the recipe, told by a YAML file, or all of them in order:\n\n"
        "  omni train tiny               all of what follows; what is finished is not done again\n\n"
        "  omni train tiny/bank          utterances on disk\n"
        "  omni train tiny/voice         the agent's voice\n"
        "  omni train tiny/ears          ears on utterances\n"
        "  omni train tiny/wordings      words for the real orders\n"
        "  omni train tiny/ears_orders   ears with real orders; then tiny/wordings_again, as these hear them\n"
        "  omni train tiny/ears_senses   ears in the agent's own echo, and for sounds; captions by pieces of words\n"
        "  omni train tiny/words         the mind on text\n"
        "  omni train tiny/connect       the mind reads those ears, single turns\n"
        "  omni train tiny/duplex        whole conversations, long ones, and its own\n\n"
        "The shipped voice, ears and mind go on, with more to talk about:\n\n"
        "  omni train tiny/voice_world   the voice learns new words\n"
        "  omni train tiny/words_world   the mind, on text\n"
        "  omni train tiny/duplex_world  it hears, and goes on reading\n"
        "  omni train tiny/ears_world    the ears: new words, more throats\n\n"
        "and from there, each with what the one before it has made:\n\n"
        "  omni train tiny/bank_voices   a larger bank: more voices, rare words\n"
        "  omni train tiny/ears_voices   ears on it\n"
        "  omni train tiny/duplex_more   the mind reads those ears, mostly on text\n"
        "  omni train tiny/duplex_heard  mostly sound again\n"
        "  omni train tiny/bank_neural   neural voices too\n"
        "  omni train tiny/ears_neural   ears on it\n"
        "  omni train tiny/duplex_neural the mind reads those ears, and copies\n"
        "  omni train tiny/duplex_cut    it reads at which word it was cut; from duplex_heard, too\n"
        "  omni train tiny/bank_kinds    more of what is asked seldom\n"
        "  omni train tiny/reconnect     a trained mind's connector learns to read the ears of ears_neural\n"
        "  omni train tiny/duplex_lately the mind goes on with them, and reads what sounded lately\n"
        "  omni train tiny/duplex_floor  more is said over its speech; from half-way of these two\n\n"
        "Beside these:\n\n"
        "  omni train tiny/voice_last    the vocoder against judges; then tiny/join, that voice for a trained mind\n"
        "  omni train tiny/preference    what is right about the floor is preferred to what the mind would have done\n"
        "  omni train tiny/distil        ears taught by a Whisper; then tiny/ears --set init=runs/distil\n"
        "  omni train large/distil       the same at the papers' size\n"
        "  omni train tiny/claims/NAME   what a claim of the papers comes to: base, implicit, no_own_stream,\n"
        "                                preferred, rollouts, slow_floor, think_against, think_least, think_most\n"
        "  omni train tiny/left_out/NAME what the ears owe to what: base, then augmentation, nothing, people\n\n"
        "Set OMNI_DATA_DIR to the real recordings. Ctrl-C keeps what was learned, and the same command goes on from\n"
        "there. The rate falls to zero at the end of the budget, so a short run ends as well as a long one. Several\n"
        "processes with one file system: torchrun --nproc-per-node=N -m omni train CONFIG. What has no loop (banks,\n"
        "wordings) the first one does, and the others wait.\n\n"
        "A recipe runs again what has another configuration now, or was made from something that is another now, and\n"
        "says why. Its budget is shared by the stages that learn, in proportion to loop.minutes of their files; the\n"
        "others take what they take, and stages that are finished in their own length are not counted. The same\n"
        "command goes on by the same shares; a longer budget makes every share longer.")
    parser.add_argument("config", help='a YAML file, or one of the project\'s own by name ("tiny/ears")')
    parser.add_argument("--budget", metavar="TIME", help="wall-clock time of the whole schedule: 30m, 1.5h; "
                        "of a recipe, shared by its stages as told above")
    parser.add_argument("--out", metavar="DIR", help="folder of the run")
    parser.add_argument("--threads", type=int, help="of torch; of a recipe, in every stage that learns")
    parser.add_argument("--device", help="cpu or cuda, likewise")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a value of the file, such as loop.lr=1e-3 or seed=2; may be repeated")
    parser.set_defaults(call=call)


def _add_data(commands) -> None:
    def call(args) -> int:
        if args.what == "fetch":
            from omni.data.fetch import main
        else:
            from omni.data.command import main
        return main(args)

    parser = commands.add_parser("data", help="bring the recordings, and hear what training hears", description="Bring "
                                 "the real recordings that training takes, or look at the conversations that stage "
                                 "duplex learns from, made on the fly from a bank of utterances. OMNI_DATA_DIR names "
                                 "the folder of real recordings.")
    which = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    fetch = which.add_parser("fetch", help="bring the public recordings", description="Download the public sources, "
                             "take the files that are used, convert them to 16 kHz mono, and check them against known "
                             "checksums. What is there and right is left alone; Ctrl-C keeps what is done, and the "
                             "same command goes on. Exit code 1 if a source failed.")
    fetch.add_argument("--only", nargs="+", metavar="NAME", help="these sources")
    fetch.add_argument("--out", metavar="DIR", help="where to (default: OMNI_DATA_DIR)")
    what = fetch.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show the sources with licence and size, and leave")
    what.add_argument("--check", action="store_true", help="compare what is there, without network")
    fetch.add_argument("--accept", action="store_true", help="keep files that are not the known ones")
    fetch.add_argument("--sources", metavar="FILE.yaml", help="other sources, with their lists in lists/ beside it")
    fetch.add_argument("--allow-http", action="store_true", help="ask this machine itself over http too")
    listen = which.add_parser("listen", help="write examples with their labels", description="Write conversations, or "
                              "what the ears alone learn from, as stereo recordings (left the room, right the agent's "
                              "own voice), and a JSON file beside each: what is said when, what the agent is to decide "
                              "when or which sounds are there, and through which room, noise and line it came.")
    listen.add_argument("count", type=int, metavar="N")
    listen.add_argument("--out", required=True, metavar="DIR")
    speed = which.add_parser("speed", help="how fast they are made", description="Print the hours of lessons that are "
                             "made in an hour, and how many of them are speech.")
    speed.add_argument("--seconds", type=int, default=60, help="to measure (default: 60)")
    speed.add_argument("--workers", type=int, default=2, help="processes that make them (default: 2)")
    for each in (listen, speed):
        each.add_argument("--of", choices=["conversations", "ears"], default="conversations", help="whose lessons "
                          "(default: conversations)")
        each.add_argument("--config", metavar="NAME|FILE.yaml", help="of stage duplex, such as tiny/duplex_lately: "
                          "each row of its batches in turn (speed: the first), drills, long speech that is talked "
                          "into, plain talk; or with --of ears of stage ears (default: plain talk; tiny/ears_senses)")
        each.add_argument("--bank", default="runs/bank", metavar="DIR", help="of stage bank (default: runs/bank)")
        each.add_argument("--model", default="tiny", metavar="NAME|PATH", help="whose voice the agent has (default: "
                          "tiny, shipped)")
        each.add_argument("--blocks", type=int, help="of 80 ms in an example (default: 250; of the ears' lessons what "
                          "their configuration has)")
        each.add_argument("--seed", type=int, default=0)
        each.add_argument("--dev", action="store_true", help="from the development set")
    parser.set_defaults(call=call)


def _add_bench(commands) -> None:
    def call(args) -> int:
        from omni.evaluate.bench import main as bench
        return bench(args)

    parser = commands.add_parser("bench", help="measure compute per block", description="Step one conversation and "
                                 "several at once, and print what a block costs as a share of its 80 ms: of all "
                                 "blocks, of those in which the agent listens, of those in which it speaks. For that "
                                 "it is given the floor in turns, and pieces to say, by way of its own logits; all "
                                 "else runs as in use. Then, as ratios of turns in the same run: a block in which a "
                                 "conversation begins, and packed matrices beside float32.")
    parser.add_argument("--conversations", type=int, nargs="+", default=[1, 4], metavar="N", help="default: 1 4")
    parser.add_argument("--blocks", type=int, default=500, metavar="M", help="blocks measured (default: 500)")
    parser.add_argument("--speaking", default="0.5", metavar="SHARE", help="of blocks in which the agent is made to "
                        "speak, about, in rounds of 4 s; 0 for one that only listens; 'own' leaves the floor to the "
                        "weights, which hear noise and may have nothing to say to it (default: 0.5)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    _add_model(parser)
    parser.set_defaults(call=call)
