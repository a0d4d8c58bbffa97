/** Weights of a GGUF file. Its names are the graph's own; what llama.cpp reorders or fuses is taken apart here. */
import type { ByteInput } from '@msae/data';
import { msaeError } from '@msae/schema';
import { createTokenizer } from '../../tokenizer.ts';
import type { Architecture } from '../architecture.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { halfOf, qkvRows } from '../folder/hfNames.ts';
import { loadFloats, type Weight, whole, withRows } from '../storedTensor.ts';
import type { WeightSource } from '../weightSource.ts';
import { ggufArchitecture } from './ggufArchitecture.ts';
import { ggufTokenizerJson } from './ggufTokenizer.ts';
import { type Gguf, readGguf } from './readGguf.ts';

/** @throws MsaeError `file` or `unsupported`, naming the byte, field or tensor */
export async function openGguf(input: ByteInput, name?: string): Promise<WeightSource> {
  const gguf = await readGguf(input, name);
  const parts = gguf.metadata.get('split.count');
  if (typeof parts === 'number' && parts > 1) {
    throw msaeError(
      'unsupported',
      `${gguf.name}: one of ${parts} parts of a model; join them with llama.cpp's llama-gguf-split --merge`,
      { file: gguf.name, field: 'split.count' },
    );
  }
  const stored = storedIn(gguf);
  const factor = async (tensor: string): Promise<Float32Array | undefined> => {
    const found = stored(tensor);
    return found && loadFloats(found);
  };
  const plain = await factor('rope_freqs.weight');
  const short = await factor('rope_factors_short.weight');
  const architecture = ggufArchitecture(gguf.name, gguf.metadata, {
    ...(plain && { plain }),
    ...(short && { short }),
  });
  return {
    name: gguf.name,
    architecture,
    tied: true,
    find: (weight) => found(architecture, stored, weight),
    fingerprint: () => fingerprintOf([gguf]),
    async tokenizer() {
      if (!gguf.metadata.has('tokenizer.ggml.model')) return undefined;
      return createTokenizer(ggufTokenizerJson(gguf.metadata, gguf.name), {}, `${gguf.name}: tokenizer`);
    },
    close: async () => gguf.source.close?.(),
  };
}

const storedIn =
  ({ tensors, source }: Gguf) =>
  (name: string): Weight | undefined => {
    const tensor = tensors.get(name);
    return tensor && whole({ ...tensor, source });
  };

function found(
  architecture: Architecture,
  stored: (name: string) => Weight | undefined,
  name: string,
): Weight | undefined {
  const own = stored(name);
  const [, at, part, suffix] = /^(blk\.\d+\.)(attn_[qkv]|ffn_gate|ffn_up)\.(weight|bias)$/.exec(name) ?? [];
  if (at === undefined || part === undefined) return own;
  if (part.startsWith('attn_')) {
    if (own === undefined) {
      const fused = stored(`${at}attn_qkv.${suffix}`);
      return fused && withRows(fused, qkvRows(architecture, part.slice(-1) as 'q' | 'k' | 'v'));
    }
    return architecture.family === 'llama' && part !== 'attn_v' ? interleavedBack(architecture, own) : own;
  }
  // Phi-3: gate and up in one matrix
  if (architecture.family === 'phi3' && stored(`${at}ffn_gate.${suffix}`) === undefined) {
    const fused = stored(`${at}ffn_up.${suffix}`);
    return fused && halfOf(fused, part === 'ffn_up');
  }
  return own;
}

/**
 * llama.cpp turns neighbouring pairs of a Llama's queries and keys, and orders their rows so; the graph turns the two
 * halves of a head, as transformers does.
 */
function interleavedBack({ headWidth }: Architecture, weight: Weight): Weight {
  const half = headWidth / 2;
  const rows = Int32Array.from({ length: weight.shape[0]! }, (_, row) => {
    const within = row % headWidth;
    return row - within + 2 * (within % half) + Math.floor(within / half);
  });
  return withRows(weight, rows);
}
