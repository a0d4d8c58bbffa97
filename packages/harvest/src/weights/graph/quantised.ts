/**
 * Quantised matrices as onnxruntime's MatMulNBits takes them, as small as they were. A weight is scale · (q − centre) + min;
 * MatMulNBits multiplies by scale · (q − zero point). Two forms, after what onnxruntime 1.30 does on a CPU:
 *
 * - `throughput`, for long batches. 4-bit mins go into zero points of float32, −min / scale; 8-bit weights stay as they
 *   are. onnxruntime then unpacks a matrix at every run, which a batch of thousands of tokens hides.
 * - `steps`, for one token at a time. Only 4-bit operands with zero points of whole numbers, for which there is a fast
 *   kernel: 8-bit weights become high and low halves, scale · q = 16 · scale · high + scale · low, on two of them.
 *
 * Mins that are in no zero point add Σ over groups of (sum of x in the group) · min: a product 16 or 32 times smaller.
 */
import type { QuantisedGroups } from '../gguf/blocks.ts';

export type QuantisedForm = 'throughput' | 'steps';

/** What a matrix becomes: known before it is read. */
export interface PlaneLayout {
  readonly bits: 4 | 8;
  /** `default`: what onnxruntime subtracts by itself, 8 or 128. */
  readonly zeroPoint: 'default' | 'zero' | 'float';
}

/** Operands of MatMulNBits, and whether mins are a product of their own. */
export function quantisedLayout(
  { bits, hasMin, centred }: { readonly bits: 4 | 8; readonly hasMin: boolean; readonly centred: boolean },
  form: QuantisedForm,
): { readonly planes: readonly PlaneLayout[]; readonly min: boolean } {
  if (bits === 8 && form === 'steps') {
    return {
      planes: [
        { bits: 4, zeroPoint: 'default' },
        { bits: 4, zeroPoint: 'zero' },
      ],
      min: hasMin,
    };
  }
  if (bits === 8) return { planes: [{ bits: 8, zeroPoint: 'default' }], min: hasMin };
  if (hasMin && form === 'throughput') return { planes: [{ bits: 4, zeroPoint: 'float' }], min: false };
  return { planes: [{ bits: 4, zeroPoint: centred ? 'default' : 'zero' }], min: hasMin };
}

export interface Plane {
  /** 4 bits: two a byte, the even one low. 8 bits: one a byte. Row after row, group after group. */
  readonly packed: Uint8Array;
  /** One a group. */
  readonly scale: Float32Array;
  /** Zero points of float32, one a group. */
  readonly zero?: Float32Array;
}

/** Planes whose sum, with the mins where the layout has them, is the matrix. */
export function planesOf(groups: QuantisedGroups, form: QuantisedForm): Plane[] {
  const { bits, centre, q, scale, min } = groups;
  if (bits === 4) {
    if (min && form === 'throughput') return [floatZeroPoints(groups, min)];
    return [{ packed: packNibbles(q, centre === 0 ? 0 : 8 - centre, 0), scale }];
  }
  const shift = 128 - centre;
  if (form === 'throughput') return [{ packed: shift === 0 ? q : q.map((value) => value + shift), scale }];
  return [
    { packed: packNibbles(q, shift, 4), scale: scale.map((value) => value * 16) },
    { packed: packNibbles(q, shift, 0), scale },
  ];
}

/** scale · q + min = scale · (q − zero). A group of scale 0 holds min alone: scale min, q 0, zero −1. */
function floatZeroPoints({ q, scale, group }: QuantisedGroups, min: Float32Array): Plane {
  const zero = new Float32Array(scale.length);
  const scales = scale.slice();
  const values = q.slice();
  for (let g = 0; g < scale.length; g++) {
    const point = -min[g]! / scale[g]!;
    if (Number.isFinite(point) && Number.isFinite(Math.fround(point))) {
      zero[g] = point;
      continue;
    }
    values.fill(0, g * group, (g + 1) * group);
    scales[g] = min[g]!;
    zero[g] = -1;
  }
  return { packed: packNibbles(values, 0, 0), scale: scales, zero };
}

/** Four bits of each q + shift, from bit `from` on. */
function packNibbles(q: Uint8Array, shift: number, from: number): Uint8Array {
  const packed = new Uint8Array(q.length / 2);
  for (let i = 0; i < packed.length; i++) {
    const low = ((q[2 * i]! + shift) >> from) & 15;
    const high = ((q[2 * i + 1]! + shift) >> from) & 15;
    packed[i] = low | (high << 4);
  }
  return packed;
}

/** Bytes of zero points 0 as MatMulNBits packs them. */
export const zeroPointBytes = (rows: number, groups: number): number => rows * Math.ceil(groups / 2);
