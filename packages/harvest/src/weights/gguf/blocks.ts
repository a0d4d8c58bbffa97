/**
 * Blocks of quantised GGUF tensors in one form: every weight is scale · (q − centre) + min, with one scale (and, where the
 * type has one, min) a group of 16 or 32. The arithmetic is float32 in the order of ggml's own dequantisation (gguf-py),
 * so that values are equal bit for bit.
 */
import { float16ToFloat32 } from '@msae/data';
import { msaeError } from '@msae/schema';
import type { GgmlType } from './types.ts';

/** Groups of quantised weights, row after row. */
export interface QuantisedGroups {
  /** Elements of a group: 16 or 32. */
  readonly group: 16 | 32;
  /** Bits that q needs: 4 (q < 16) or 8. */
  readonly bits: 4 | 8;
  /** What q is counted from. */
  readonly centre: number;
  /** One a weight. */
  readonly q: Uint8Array;
  /** One a group. */
  readonly scale: Float32Array;
  /** One a group; absent for symmetric types. */
  readonly min?: Float32Array;
}

/** Types that {@link quantisedGroups} reads. */
export const quantisedTypes: readonly string[] = [
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
];

interface Layout {
  group: 16 | 32;
  bits: 4 | 8;
  centre: number;
  hasMin: boolean;
  unpack(block: Block): void;
}

/** One block to unpack: where its bytes start, where its weights and groups go. */
interface Block {
  readonly bytes: Uint8Array;
  at: number;
  readonly q: Uint8Array;
  weight: number;
  readonly scale: Float32Array;
  readonly min: Float32Array;
  group: number;
  half(offset: number): number;
}

const { fround } = Math;

/** Nibbles of 16 bytes: the low ones are weights 0–15, the high ones 16–31. */
function nibbles({ bytes, q, weight }: Block, at: number): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + i]!;
    q[weight + i] = byte & 15;
    q[weight + 16 + i] = byte >> 4;
  }
}

/** The fifth bits of 32 weights. */
function fifthBits({ bytes, q, weight }: Block, at: number): void {
  for (let i = 0; i < 32; i++) q[weight + i]! |= ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4;
}

/** The 6-bit scales and mins of Q4_K and Q5_K: eight each in 12 bytes. */
function scalesAndMins(block: Block): void {
  const { bytes, at, scale, min, group } = block;
  const d = block.half(0);
  const dmin = block.half(2);
  for (let j = 0; j < 8; j++) {
    const low = bytes[at + 4 + (j & 3)]!;
    const high = bytes[at + 8 + (j & 3)]!;
    const both = bytes[at + 12 + (j & 3)]!;
    const s = j < 4 ? low & 63 : (both & 15) | ((low >> 2) & 48);
    const m = j < 4 ? high & 63 : (both >> 4) | ((high >> 2) & 48);
    scale[group + j] = fround(d * s);
    min[group + j] = -fround(dmin * m);
  }
}

const layouts: Readonly<Record<string, Layout>> = {
  Q4_0: {
    group: 32,
    bits: 4,
    centre: 8,
    hasMin: false,
    unpack(block) {
      block.scale[block.group] = block.half(0);
      nibbles(block, block.at + 2);
    },
  },
  Q4_1: {
    group: 32,
    bits: 4,
    centre: 0,
    hasMin: true,
    unpack(block) {
      block.scale[block.group] = block.half(0);
      block.min[block.group] = block.half(2);
      nibbles(block, block.at + 4);
    },
  },
  Q5_0: {
    group: 32,
    bits: 8,
    centre: 16,
    hasMin: false,
    unpack(block) {
      block.scale[block.group] = block.half(0);
      nibbles(block, block.at + 6);
      fifthBits(block, block.at + 2);
    },
  },
  Q5_1: {
    group: 32,
    bits: 8,
    centre: 0,
    hasMin: true,
    unpack(block) {
      block.scale[block.group] = block.half(0);
      block.min[block.group] = block.half(2);
      nibbles(block, block.at + 8);
      fifthBits(block, block.at + 4);
    },
  },
  Q8_0: {
    group: 32,
    bits: 8,
    centre: 128,
    hasMin: false,
    unpack(block) {
      const { bytes, at, q, weight } = block;
      block.scale[block.group] = block.half(0);
      for (let i = 0; i < 32; i++) q[weight + i] = bytes[at + 2 + i]! ^ 128;
    },
  },
  Q2_K: {
    group: 16,
    bits: 4,
    centre: 0,
    hasMin: true,
    unpack(block) {
      const { bytes, at, q, weight, scale, min, group } = block;
      const d = block.half(80);
      const dmin = block.half(82);
      for (let j = 0; j < 16; j++) {
        scale[group + j] = fround(d * (bytes[at + j]! & 15));
        min[group + j] = -fround(dmin * (bytes[at + j]! >> 4));
      }
      for (let i = 0; i < 256; i++) {
        q[weight + i] = (bytes[at + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      }
    },
  },
  Q3_K: {
    group: 16,
    bits: 4,
    centre: 4,
    hasMin: false,
    unpack(block) {
      const { bytes, at, q, weight, scale, group } = block;
      const d = block.half(108);
      for (let j = 0; j < 16; j++) {
        const low = (bytes[at + 96 + (j & 7)]! >> (4 * (j >> 3))) & 15;
        const high = (bytes[at + 104 + (j & 3)]! >> (2 * (j >> 2))) & 3;
        scale[group + j] = fround(d * ((low | (high << 4)) - 32));
      }
      for (let i = 0; i < 256; i++) {
        const low = (bytes[at + 32 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
        q[weight + i] = low | (((bytes[at + (i & 31)]! >> (i >> 5)) & 1) << 2);
      }
    },
  },
  Q4_K: {
    group: 32,
    bits: 4,
    centre: 0,
    hasMin: true,
    unpack(block) {
      const { bytes, at, q, weight } = block;
      scalesAndMins(block);
      for (let i = 0; i < 256; i++) {
        q[weight + i] = (bytes[at + 16 + 32 * (i >> 6) + (i & 31)]! >> (4 * ((i >> 5) & 1))) & 15;
      }
    },
  },
  Q5_K: {
    group: 32,
    bits: 8,
    centre: 0,
    hasMin: true,
    unpack(block) {
      const { bytes, at, q, weight } = block;
      scalesAndMins(block);
      for (let i = 0; i < 256; i++) {
        const low = (bytes[at + 48 + 32 * (i >> 6) + (i & 31)]! >> (4 * ((i >> 5) & 1))) & 15;
        q[weight + i] = low | (((bytes[at + 16 + (i & 31)]! >> (i >> 5)) & 1) << 4);
      }
    },
  },
  Q6_K: {
    group: 16,
    bits: 8,
    centre: 32,
    hasMin: false,
    unpack(block) {
      const { bytes, at, q, weight, scale, group } = block;
      const d = block.half(208);
      for (let j = 0; j < 16; j++) scale[group + j] = fround(d * ((bytes[at + 192 + j]! << 24) >> 24));
      for (let i = 0; i < 256; i++) {
        const low = (bytes[at + 64 * (i >> 7) + (i & 63)]! >> (4 * ((i >> 6) & 1))) & 15;
        const high = (bytes[at + 128 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
        q[weight + i] = low | (high << 4);
      }
    },
  },
};

/** How the groups of a type look. `centred` types have a centre other than 0. @throws MsaeError `unsupported` */
export function groupLayout(type: GgmlType): {
  group: 16 | 32;
  bits: 4 | 8;
  hasMin: boolean;
  centred: boolean;
} {
  const { group, bits, hasMin, centre } = layoutOf(type, 'a tensor');
  return { group, bits, hasMin, centred: centre !== 0 };
}

function layoutOf(type: GgmlType, what: string): Layout {
  const layout = layouts[type.name];
  if (layout !== undefined) return layout;
  throw msaeError(
    'unsupported',
    `${what} is ${type.name}; of the quantised types ${quantisedTypes.join(', ')} are read: convert the model to one of them`,
    { tensor: what },
  );
}

/** Unpacks blocks. @throws MsaeError `unsupported` for a type that is not in {@link quantisedTypes} */
export function quantisedGroups(bytes: Uint8Array, type: GgmlType, what: string): QuantisedGroups {
  const { group, bits, centre, hasMin, unpack } = layoutOf(type, what);
  const blocks = bytes.length / type.bytes;
  const groups = type.block / group;
  const scale = new Float32Array(blocks * groups);
  const min = new Float32Array(hasMin ? blocks * groups : 0);
  const q = new Uint8Array(blocks * type.block);
  const bits16 = new Uint16Array(1);
  const value = new Float32Array(1);
  const block: Block = {
    bytes,
    at: 0,
    q,
    weight: 0,
    scale,
    min,
    group: 0,
    half(offset) {
      bits16[0] = bytes[block.at + offset]! | (bytes[block.at + offset + 1]! << 8);
      return float16ToFloat32(bits16, value)[0]!;
    },
  };
  for (let b = 0; b < blocks; b++) {
    unpack(block);
    block.at += type.bytes;
    block.weight += type.block;
    block.group += groups;
  }
  return { group, bits, centre, q, scale, ...(hasMin && { min }) };
}

/** The weights as float32, equal bit for bit to what gguf-py gives. */
export function dequantise(groups: QuantisedGroups): Float32Array {
  const { group, centre, q, scale, min } = groups;
  const out = new Float32Array(q.length);
  for (let g = 0; g < scale.length; g++) {
    const s = scale[g]!;
    const from = g * group;
    if (min) {
      const m = min[g]!;
      for (let i = from; i < from + group; i++) out[i] = fround(s * (q[i]! - centre)) + m;
    } else {
      for (let i = from; i < from + group; i++) out[i] = s * (q[i]! - centre);
    }
  }
  return out;
}
