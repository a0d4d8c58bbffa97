import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { examine, isWrong, type Outcome } from '../../../tools/onnx-matrix/examine.ts';
import { truthOf } from '../../../tools/onnx-matrix/truth.ts';
import { path } from './helpers.ts';

/**
 * Files that real tools made of random models (tools/onnx-matrix makes them, all kinds of all architectures; a handful lies here), against
 * PyTorch's hooks. MSAE_ONNX_MATRIX names a folder with all of them.
 */
const root = process.env.MSAE_ONNX_MATRIX ?? path('fixtures/matrix');

/** Largest difference of values, and of cross-entropy and KL, by what was done to the weights; else 1e-5. */
const allowed: readonly [RegExp, number, number][] = [
  [/fp16/, 1e-2, 1e-2],
  [/int8/, 0.3, 0.15],
  [/int4|q4|bnb4/, 1.5, 1.5],
];

const folders = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => statSync(join(folder, name)).isDirectory())
    .sort();

for (const architecture of folders(root)) {
  const truth = truthOf(join(root, architecture));
  describe(architecture, () => {
    for (const kind of folders(join(root, architecture))) {
      const file = join(root, architecture, kind, 'model.onnx');
      if (!existsSync(file)) continue;
      it(`${kind}: taps and splices are PyTorch's`, async () => {
        const outcome: Outcome = { architecture, kind, taps: 0 };
        await examine(file, truth, outcome).catch((error: Error) => {
          outcome.refusal ??= error.message;
        });
        if (root !== path('fixtures/matrix') && outcome.refusal !== undefined) {
          // what onnxruntime cannot run is refused with its reason
          expect(outcome.refusal).toMatch(/does not load it|does not run on|Kernel not found/);
          return;
        }
        expect(outcome.refusal).toBeUndefined();
        expect(outcome.missing).toEqual([]);
        expect(outcome.misplaced).toBeUndefined();
        expect(isWrong(outcome), JSON.stringify(outcome)).toBe(false);
        const [, values, splice] = allowed.find(([kinds]) => kinds.test(kind)) ?? ['', 1e-5, 1e-5];
        if ((outcome.own ?? 0) > values) return; // the tool changed more than the type: nearest taps had to do
        expect(outcome.values).toBeLessThan(values);
        if (Object.keys(truth.splices).length > 0) expect(outcome.splice).toBeLessThan(splice);
      });
    }
  });
}
