"""Full-Duplex-Bench v1.0 (arXiv 2503.04721) and v1.5 (arXiv 2507.23159): an agent is run over the benchmark's folders,
writes the files its public scripts read, and is scored as they score, with the known defects mended beside.

Out of scope: the ratings and behaviours that a language model judges, and v1.5's features before and after an overlap
(UTMOS, words per minute, pitch, intensity). Word times are the agent's own, not a recogniser's; where the benchmark's
recogniser has replaced output.json, its words are scored.
"""
