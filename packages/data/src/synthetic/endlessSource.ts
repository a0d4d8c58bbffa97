/** What every synthetic source does alike: it never ends, and its position is the state of its random stream. */

import { createRng, type Rng, type RngState } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import { type ActivationSource, checkBatches, type SourcePosition } from '../source.ts';

export interface EndlessSourceOptions {
  /** Named in positions, so that one source refuses another's. */
  readonly kind: string;
  /** The source's name in errors. */
  readonly name: string;
  readonly width: number;
  /** The next rows of x, [rows, width]. */
  next(rows: number): Float32Array;
  rng(): Rng;
  setRng(rng: Rng): void;
}

/** Batches without end, with a position to go on from. */
export function endlessSource(
  options: EndlessSourceOptions,
): Pick<ActivationSource, 'width' | 'batches' | 'position' | 'seek'> {
  const { kind, name, width } = options;
  return {
    width,
    async *batches(given) {
      const { batchSize, signal } = checkBatches(given);
      for (;;) {
        signal?.throwIfAborted();
        yield { data: options.next(batchSize), rows: batchSize, width };
      }
    },
    position: () => ({ kind, rng: options.rng().state() }),
    seek(position: SourcePosition) {
      if (position.kind !== kind) {
        throw msaeError(
          'state',
          `${name}: the position is of kind ${String(position.kind)}, expected ${kind}`,
        );
      }
      options.setRng(createRng(position.rng as unknown as RngState));
    },
  };
}
