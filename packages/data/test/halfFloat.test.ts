import { getFloat16, setFloat16 } from '@petamoriken/float16';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../src/halfFloat.ts';

const view = new DataView(new ArrayBuffer(4));

describe('float16', () => {
  it('decodes all 65,536 values as @petamoriken/float16 does', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const floats = float16ToFloat32(bits);
    for (let i = 0; i < 65536; i++) {
      view.setUint16(0, i);
      expect(Object.is(floats[i], getFloat16(view, 0))).toBe(true);
    }
  });

  it('encodes as @petamoriken/float16 does, ties and subnormals included', () => {
    // every half, the midpoints between neighbours, and a step to either side of them
    const values: number[] = [];
    for (let i = 0; i < 0x7c00; i++) {
      const [low, high] = float16ToFloat32(Uint16Array.of(i, i + 1));
      const middle = Number.isFinite(high!) ? (low! + high!) / 2 : 65520;
      values.push(low!, middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -23), -middle);
    }
    const data = Float32Array.from([
      ...values,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      1e30,
      1e-30,
      -0,
    ]);
    const bits = float32ToFloat16(data);
    const wrong = data.findIndex((value, i) => {
      setFloat16(view, 0, value);
      return view.getUint16(0) !== bits[i];
    });
    expect(wrong).toBe(-1);
    expect(Number.isNaN(float16ToFloat32(float32ToFloat16(Float32Array.of(Number.NaN)))[0])).toBe(true);
  });

  it('encodes any float as the library does', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) => {
        setFloat16(view, 0, value);
        return float32ToFloat16(Float32Array.of(value))[0] === view.getUint16(0);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('bfloat16', () => {
  it('rounds to the nearest of the two neighbours, ties to even', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const [got] = bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(value)));
        // the neighbours by truncation towards and away from zero, in float64
        view.setFloat32(0, value);
        const word = view.getUint32(0);
        view.setUint32(0, word & 0xffff0000);
        const below = view.getFloat32(0);
        view.setUint32(0, (word & 0xffff0000) + 0x10000);
        const above = view.getFloat32(0);
        if (!Number.isFinite(above)) return true; // the last step overflows to infinity: rounding is by word there
        const [down, up] = [Math.abs(value - below), Math.abs(above - value)];
        const even = word & 0x10000 ? above : below;
        return Object.is(got, down < up ? below : up < down ? above : even);
      }),
      { numRuns: 5000 },
    );
  });

  it('keeps NaN, infinities and signs', () => {
    const back = bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(Number.NaN, Infinity, -Infinity, -0)));
    expect([...back]).toEqual([Number.NaN, Infinity, -Infinity, -0]);
  });
});
