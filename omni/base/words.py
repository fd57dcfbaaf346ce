"""Words compared with words."""


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Levenshtein distance in words (substitutions, deletions, insertions), and the number of reference words."""
    r, h = reference.split(), hypothesis.split()
    row = list(range(len(h) + 1))
    for i, word in enumerate(r, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(h, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1], len(r)
