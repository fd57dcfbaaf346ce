"""`omni evaluate fdb`: run the agent over Full-Duplex-Bench and print what it scores."""

from dataclasses import asdict
from pathlib import Path

from omni.base.errors import ConfigError

_CONVERSATIONS = 16     # at once


def main(args) -> int:
    """The command: parsed arguments to exit code. Ctrl-C keeps the outputs that are there."""
    from omni.evaluate.fdb.detector import load_detector
    from omni.evaluate.fdb.layout import find_samples, read_reference, write_json
    from omni.evaluate.fdb.score import needs_detector, score, table

    if not args.root:
        raise ConfigError("give --root DIR, the folder that holds the benchmark's recordings")
    root = Path(args.root)
    samples = find_samples(root)        # what is missing is told before the hours a model takes
    human = read_reference(samples, root)
    detect = load_detector() if needs_detector(samples) else None
    report: dict = {"run": None if args.score_only else _run(samples, args)}
    scores = score(samples, detect, human)
    report["tasks"] = [asdict(s) for s in scores]
    write_json(root / "fdb.json", report)
    print(table(scores))
    return 0


def _run(samples, args) -> dict:
    """Write the outputs; give what made them."""
    from omni.evaluate.converse import load_engine
    from omni.evaluate.fdb.made import Made
    from omni.evaluate.fdb.run import agent_outputs, run
    from omni.model.weights import config_fingerprint, fingerprint

    weights, config = fingerprint(args.model), config_fingerprint(args.model)
    made = Made(samples, f"{weights} {config} seed {args.seed}")
    engine, _ = load_engine(args.model, args.device, args.threads, capacity=min(_CONVERSATIONS, len(samples)))
    num_run = run(samples, agent_outputs(engine, seed=args.seed), made, batch_size=2 * engine.capacity,
                  resume=args.resume)
    return {"model": args.model, "weights": weights, "config": config, "seed": args.seed, "recordings": num_run}
