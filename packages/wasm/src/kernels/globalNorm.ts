import type {
  GlobalNormAttrs,
  GlobalNormInputs,
  GlobalNormOutputs,
  Implementation,
} from '@msae/core/backend';
import { util } from '@tensorflow/tfjs-core';
import { runtimeOf } from '../runtime.ts';

const CHUNK = 65_536;

/** MsaeGlobalNorm: partial sums of 65,536 values, added in order in float64. */
export const globalNorm: Implementation<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = (
  inputs,
  _,
  backend,
) => {
  const runtime = runtimeOf(backend);
  let sum = 0;
  for (const info of Object.values(inputs)) {
    const length = util.sizeFromShape(info.shape);
    const chunks = Math.ceil(length / CHUNK);
    const partials = runtime.scratch('norm', Math.max(1, chunks) * 8);
    runtime.run('sumOfSquares', chunks, [runtime.pointer(info), length, partials]);
    for (const part of runtime.doubles(partials, chunks)) sum += part;
  }
  const norm = runtime.backend.makeOutput([1], 'float32');
  runtime.floats(runtime.pointer(norm), 1)[0] = Math.sqrt(sum);
  return { norm };
};
