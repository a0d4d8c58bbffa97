import type {
  DecodeActiveAttrs,
  DecodeActiveInputs,
  DecodeActiveOutputs,
  Implementation,
} from '@msae/core/backend';
import { runtimeOf } from '../runtime.ts';

/** MsaeDecodeActive: rows of the lists, gathered and added up. */
export const decodeActive: Implementation<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs> = (
  inputs,
  _,
  backend,
) => {
  const runtime = runtimeOf(backend);
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const d = inputs.b_dec.shape[0]!;
  const at = (name: keyof DecodeActiveInputs): number => runtime.pointer(inputs[name]);
  const xHat = runtime.backend.makeOutput([rows, d], 'float32');
  const lists = [at('indices'), at('values'), at('counts'), rows, capacity, d];
  runtime.run('decodeRows', Math.ceil(rows / 16), [
    at('W_dec'),
    at('b_dec'),
    ...lists,
    runtime.pointer(xHat),
  ]);
  return { xHat };
};
