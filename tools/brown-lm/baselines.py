"""Held-out loss of n-gram models on the very tokens the language model is scored on.

    python tools/brown-lm/baselines.py --tokenizer examples/brown-lm/model/tokenizer.json

Unigram: add-one counts. Bigram and trigram: interpolated modified Kneser-Ney (Chen and Goodman 1998, "An empirical
study of smoothing techniques", section 4.3), discounts from the counts of counts of the training documents.
"""

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from brown import default_folder, read_documents, split
from tokenizer import encode


class Level:
    """One order of the model: discounted counts by context, and how much mass each context gives to the order below."""

    def __init__(self, counts: Counter):
        of_counts = Counter(counts.values())
        n = [of_counts[i] for i in range(5)]
        y = n[1] / (n[1] + 2 * n[2])
        self.discounts = [0.0] + [i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)]
        self.counts, self.totals = counts, defaultdict(int)
        kinds = defaultdict(lambda: [0, 0, 0, 0])
        for gram, count in counts.items():
            self.totals[gram[:-1]] += count
            kinds[gram[:-1]][min(count, 3)] += 1
        self.backoff = {
            context: sum(d * k for d, k in zip(self.discounts, kinds[context], strict=True)) / total
            for context, total in self.totals.items()
        }

    def probability(self, gram: tuple[int, ...], lower: float) -> float:
        total = self.totals.get(gram[:-1])
        if not total:
            return lower
        count = self.counts.get(gram, 0)
        return (count - self.discounts[min(count, 3)]) / total + self.backoff[gram[:-1]] * lower


class KneserNey:
    def __init__(self, documents: list[list[int]], order: int, vocabulary: int):
        self.order, self.vocabulary = order, vocabulary
        grams = Counter(tuple(d[i : i + order]) for d in documents for i in range(len(d) - order + 1))
        self.levels = [Level(grams)]
        for _ in range(order - 1):  # below the highest order a count is the number of distinct left neighbours
            grams = Counter(gram[1:] for gram in grams)
            self.levels.insert(0, Level(grams))

    def nats(self, documents: list[list[int]]) -> float:
        total, count = 0.0, 0
        for d in documents:
            for i in range(1, len(d)):
                p = 1 / self.vocabulary
                for n, level in enumerate(self.levels, start=1):
                    if i - n + 1 >= 0:
                        p = level.probability(tuple(d[i - n + 1 : i + 1]), p)
                total -= math.log(p)
            count += len(d) - 1
        return total / count


def unigram_nats(training: list[list[int]], held_out: list[list[int]], vocabulary: int) -> float:
    counts = np.bincount(np.concatenate([d[1:] for d in training]), minlength=vocabulary) + 1
    targets = np.concatenate([d[1:] for d in held_out])
    return float(-np.log(counts / counts.sum())[targets].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=default_folder())
    parser.add_argument("--tokenizer", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(args.tokenizer))
    size = tokenizer.get_vocab_size()
    training, held_out = ([encode(tokenizer, d).tolist() for d in part] for part in split(read_documents(args.corpus)))
    print(json.dumps({"trainTokens": sum(map(len, training)), "heldOutTargets": sum(len(d) - 1 for d in held_out)}))
    print(json.dumps({"unigram": round(unigram_nats(training, held_out, size), 4)}))
    for name, order in (("bigram", 2), ("trigram", 3), ("4-gram", 4)):
        print(json.dumps({name: round(KneserNey(training, order, size).nats(held_out), 4)}), flush=True)


if __name__ == "__main__":
    main()
