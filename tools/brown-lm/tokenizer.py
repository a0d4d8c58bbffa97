"""Byte-level BPE of 4,096 tokens, trained on the training documents only."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from brown import Document

VOCABULARY = 4096
END_OF_TEXT = "<|endoftext|>"  # id 0; starts every document


def train_tokenizer(documents: list[Document], file: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join(d.words) for d in documents), trainer)
    file.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(file))
    return tokenizer


def encode(tokenizer: Tokenizer, document: Document) -> np.ndarray:
    """Token ids of a document, [1 + n], led by END_OF_TEXT."""
    ids = tokenizer.encode(" ".join(document.words), add_special_tokens=False).ids
    return np.array([tokenizer.token_to_id(END_OF_TEXT), *ids], dtype=np.int64)

