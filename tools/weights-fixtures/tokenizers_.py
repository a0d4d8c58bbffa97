"""Small tokenizers of the kinds that GGUF files hold, and the ids that their own libraries give: vocab-*.gguf, tokenizers.json.

    python tools/weights-fixtures/tokenizers_.py [FOLDER]

Byte-level BPE by `tokenizers`, once for each way of splitting texts that GGUF names; SentencePiece BPE by `sentencepiece`.
"""

import io
import json
import pathlib
import sys

import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "packages/harvest/test/weights/fixtures")
here = pathlib.Path(__file__).parent
corpus = [line for f in sorted(here.glob("*.py")) for line in f.read_text().splitlines()]
corpus += ["It's the year 2024, and they've 1234567 reasons; we'll see what I'd do.", "Ünïcode — naïve café, 東京, Москва!"] * 20
texts = [
    "It's 2024: they've 1234567 reasons, WE'LL see.", "  two  spaces\n\n\nand\tlines \r\n end ", "naïve café — 東京 Москва 🙂!",
    "<|start|>user\nHello<|end|>", "def f(x):\n    return x**2  # done", "CamelCaseWords andSnake_case", "e\u0301 composed", "",
]

any_contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
upper, lower = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
ways = {  # splitting regex, digits first, normalizer, whole words
    "gpt-2": (gpt2, False, None, False),
    "smollm": (gpt2, True, None, False),
    "qwen2": (any_contraction + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + rest, False, normalizers.NFC(), False),
    "llama-bpe": (any_contraction + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + rest, False, None, True),
    "tekken": (rf"[^\r\n\p{{L}}\p{{N}}]?[{upper}]*[{lower}]+|[^\r\n\p{{L}}\p{{N}}]?[{upper}]+[{lower}]*|\p{{N}}"
               + rest.replace(r"[\r\n]*", r"[\r\n/]*", 1), False, None, True),
}


def byte_level(regex, digits, normalizer, whole):
    t = Tokenizer(models.BPE(ignore_merges=whole))
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(
        ([pre_tokenizers.Digits(individual_digits=True)] if digits else [])
        + [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    specials = [AddedToken("<|start|>", special=True, normalized=False), AddedToken("<|end|>", special=True, normalized=False)]
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=330, special_tokens=specials, show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def write(name, model, pre, tokens, types, merges=None, scores=None, more=lambda w: None):
    w = gguf.GGUFWriter(out / f"vocab-{name}.gguf", "llama")
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    if merges:
        w.add_token_merges(merges)
    if scores:
        w.add_token_scores(scores)
    more(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


cases = {}
for pre, way in ways.items():
    t = byte_level(*way)
    vocab = sorted(t.get_vocab().items(), key=lambda item: item[1])
    merges = [" ".join(m) if isinstance(m, list) else m for m in json.loads(t.to_str())["model"]["merges"]]
    write(pre, "gpt2", pre, [token for token, _ in vocab], [3 if i < 2 else 1 for _, i in vocab], merges,
          more=lambda w: (w.add_bos_token_id(0), w.add_add_bos_token(False)))
    cases[pre] = [[text, t.encode(text).ids] for text in texts]

for name, prefix in (("spm", True), ("spm-bare", False)):
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=buffer, model_type="bpe", vocab_size=420,
                                             byte_fallback=True, add_dummy_prefix=prefix, remove_extra_whitespaces=False,
                                             normalization_rule_name="identity", character_coverage=0.98, minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=buffer.getvalue())
    kinds = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 1 for i in range(sp.vocab_size())]
    write(name, "llama", "default", [sp.id_to_piece(i) for i in range(sp.vocab_size())], kinds,
          scores=[sp.get_score(i) for i in range(sp.vocab_size())],
          more=lambda w: (w.add_bos_token_id(1), w.add_unk_token_id(0), w.add_add_bos_token(True), w.add_add_space_prefix(prefix)))
    cases[name] = [[text, [1, *sp.encode(text)]] for text in texts if "<|" not in text]
(out / "tokenizers.json").write_text(json.dumps(cases, ensure_ascii=False, separators=(",", ":")) + "\n")
