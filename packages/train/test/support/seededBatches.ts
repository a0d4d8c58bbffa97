/** A seekable endless source of sparse, positive activations; its position is the state of its random stream. */
import type { SourcePosition } from '@msae/data';
import { createRng, type RngState } from '@msae/sampler';
import type { SeekableBatches } from '../../src/index.ts';

export function seededBatches(options: {
  seed: number;
  rows: number;
  width: number;
}): Iterable<Float32Array> & Required<SeekableBatches> {
  const { rows, width } = options;
  const features = createRng(1);
  const directions = Float64Array.from({ length: 2 * width * width }, () => features.normal());
  let rng = createRng(options.seed);
  const batch = (): Float32Array => {
    const data = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      for (let feature = 0; feature < 2 * width; feature++) {
        if (rng.next() > 0.1) continue;
        const size = 0.5 + rng.next();
        for (let j = 0; j < width; j++) {
          data[row * width + j]! += size * (directions[feature * width + j] as number);
        }
      }
    }
    return data;
  };
  return {
    *[Symbol.iterator]() {
      for (;;) yield batch();
    },
    position: () => ({ rng: [...rng.state()] }),
    seek(position: SourcePosition) {
      rng = createRng(position.rng as unknown as RngState);
    },
  };
}
