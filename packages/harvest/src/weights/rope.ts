/** Frequencies of rotary position embeddings, after `modeling_rope_utils.py` of transformers. */
import { msaeError } from '@msae/schema';
import type { Rope } from './architecture.ts';
import type { Fields } from './fields.ts';

/** [dimensions / 2] theta^(−2i / dimensions), over the factors, float32. */
export function inverseFrequencies({ theta, dimensions, factors }: Rope): Float32Array {
  return Float32Array.from({ length: dimensions / 2 }, (_, i) => {
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dimensions)));
    return factors ? frequency / factors[i]! : frequency;
  });
}

/** Scaling of a checkpoint's `rope_parameters` or `rope_scaling`; undefined changes nothing. @throws MsaeError `unsupported` */
export function scaledRope(
  rope: Rope,
  scaling: Fields,
  positions: number,
): { rope: Rope; positions: number } {
  const kind = scaling.text('rope_type', scaling.text('type', 'default'));
  const count = rope.dimensions / 2;
  switch (kind) {
    case 'default':
    case 'dynamic': // changes nothing within the positions the model was made for
      return { rope, positions };
    case 'linear':
      return {
        rope: { ...rope, factors: new Float32Array(count).fill(scaling.number('factor')) },
        positions,
      };
    case 'llama3':
      return { rope: { ...rope, factors: llama3Factors(rope, scaling) }, positions };
    case 'longrope':
    case 'su': {
      const original = scaling.whole('original_max_position_embeddings');
      const factor = scaling.number('factor', positions / original);
      const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
      return {
        rope: {
          ...rope,
          factors: listed(scaling, 'short_factor', count),
          attentionFactor: scaling.number('attention_factor', usual),
        },
        positions: original, // beyond it the long factors would apply
      };
    }
    default:
      throw msaeError(
        'unsupported',
        `${scaling.name}: rope of type ${kind}; default, linear, dynamic, llama3 and longrope are built`,
        {
          file: scaling.name,
          field: 'rope_type',
        },
      );
  }
}

function listed(scaling: Fields, field: string, length: number): Float32Array {
  const values = scaling.get(field);
  if (
    !Array.isArray(values) ||
    values.length !== length ||
    !values.every((v) => typeof v === 'number' && v > 0)
  ) {
    throw msaeError('file', `${scaling.name}: ${field}: expected ${length} numbers > 0`, {
      file: scaling.name,
      field,
    });
  }
  return Float32Array.from(values as number[]);
}

function llama3Factors(rope: Rope, scaling: Fields): Float32Array {
  const factor = scaling.number('factor');
  const low = scaling.number('low_freq_factor');
  const high = scaling.number('high_freq_factor');
  const original = scaling.whole('original_max_position_embeddings');
  const plain = inverseFrequencies(rope);
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
