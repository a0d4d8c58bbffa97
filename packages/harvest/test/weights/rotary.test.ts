import * as ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { encodeModel } from '../../src/onnx/graph.ts';
import { graphBuilder } from '../../src/weights/graph/builder.ts';
import { rotated } from '../../src/weights/graph/rotary.ts';
import { inverseFrequencies } from '../../src/weights/rope.ts';

const rope = { theta: 10_000, dimensions: 8, attentionFactor: 1.25 };
const places = [0, 1, 255, 256, 300, 4095, 8191];

/** Two heads of width 12, of which 8 dimensions are turned. */
async function run(tabled: number | undefined): Promise<Float32Array> {
  const g = graphBuilder();
  const x = g.input('x', 'float32', ['batch', 'sequence', 24]);
  const positionIds = g.input('position_ids', 'int64', ['batch', 'sequence']);
  const turned = rotated(
    g,
    tabled === undefined ? {} : { tabled },
    { positionIds, mask: '' },
    rope,
    x,
    2,
    12,
  );
  g.op('Identity', [turned], {}, 'y');
  g.output('y', ['batch', 'sequence', 24]);
  const session = await ort.InferenceSession.create(encodeModel(g.finish().proto), { logSeverityLevel: 3 });
  const values = Float32Array.from({ length: places.length * 24 }, (_, i) => Math.sin(i + 1));
  const { y } = await session.run({
    x: new ort.Tensor('float32', values, [1, places.length, 24]),
    position_ids: new ort.Tensor('int64', BigInt64Array.from(places, BigInt), [1, places.length]),
  });
  await session.release();
  return y!.data as Float32Array;
}

/** In float64; `round` is what the angle goes through. */
function wanted(round: (angle: number) => number): number[] {
  const frequencies = inverseFrequencies(rope);
  return places.flatMap((place, t) =>
    Array.from({ length: 24 }, (_, i) => {
      const within = i % 12;
      const x = (d: number) => Math.fround(Math.sin(t * 24 + i - within + d + 1));
      if (within >= 8) return x(within);
      const angle = round(place * frequencies[within % 4]!);
      const [cos, sin] = [1.25 * Math.cos(angle), 1.25 * Math.sin(angle)];
      return within < 4 ? x(within) * cos - x(within + 4) * sin : x(within) * cos + x(within - 4) * sin;
    }),
  );
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a, (value, i) => Math.abs(value - b[i]!)).reduce((most, d) => Math.max(most, d));

it('turns by angles of float32, as transformers does, at every position', async () => {
  expect(farthest(await run(undefined), wanted(Math.fround))).toBeLessThan(1e-6);
});

it('turns by exact angles from tables', async () => {
  expect(
    farthest(
      await run(8192),
      wanted((angle) => angle),
    ),
  ).toBeLessThan(1e-6);
});
