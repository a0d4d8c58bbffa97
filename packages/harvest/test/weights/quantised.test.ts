import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dequantise, quantisedGroups, quantisedTypes } from '../../src/weights/gguf/blocks.ts';
import { readGguf } from '../../src/weights/gguf/readGguf.ts';
import { planesOf, quantisedLayout } from '../../src/weights/graph/quantised.ts';
import { fixtures } from './models.ts';

/** types.gguf has blocks whose scale is 0, with and without a min, and subnormal scales. */
describe.each(quantisedTypes)('operands of MatMulNBits from %s', async (name) => {
  const gguf = await readGguf(readFileSync(`${fixtures}/types.gguf`));
  const { type, offset, byteLength } = gguf.tensors.get(name)!;
  const groups = quantisedGroups(await gguf.source.read(offset, byteLength), type, name);
  const wanted = dequantise(groups);

  it.each(['throughput', 'steps'] as const)('hold the same matrix for %s', (form) => {
    const { bits, centre, min, group } = groups;
    const layout = quantisedLayout({ bits, hasMin: min !== undefined, centred: centre !== 0 }, form);
    const planes = planesOf(groups, form);
    expect(planes).toHaveLength(layout.planes.length);
    const sums = new Float64Array(wanted.length);
    planes.forEach(({ packed, scale, zero }, p) => {
      const { bits: width, zeroPoint } = layout.planes[p]!;
      expect(packed.length).toBe((wanted.length * width) / 8);
      sums.forEach((_, i) => {
        const at = Math.floor(i / group);
        const q = width === 8 ? packed[i]! : (packed[i >> 1]! >> (4 * (i & 1))) & 15;
        const point = zeroPoint === 'float' ? zero![at]! : zeroPoint === 'zero' ? 0 : width === 8 ? 128 : 8;
        sums[i]! += (q - point) * scale[at]!;
      });
    });
    wanted.forEach((value, i) => {
      const at = Math.floor(i / group);
      const got = sums[i]! + (layout.min ? min![at]! : 0);
      const size = Math.abs(min?.[at] ?? 0) + Math.abs(groups.scale[at]! * 128);
      expect(Math.abs(got - value)).toBeLessThanOrEqual(2e-7 * size);
    });
  });
});
