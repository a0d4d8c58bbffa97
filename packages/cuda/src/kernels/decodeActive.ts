/** MsaeDecodeActive: x̂ = b_dec + Σ f_i d_i. */
import type {
  DecodeActiveAttrs,
  DecodeActiveInputs,
  DecodeActiveOutputs,
  Implementation,
} from '@msae/core/backend';
import type { CudaBackend } from '../backend.ts';
import { rowBlock } from './rowBlock.ts';

export const decodeActive: Implementation<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs> = (
  inputs,
  _attrs,
  instance,
) => {
  const backend = instance as CudaBackend;
  const { W_dec, b_dec, indices, values, counts } = inputs;
  const [rows, capacity] = indices.shape as [number, number];
  const d = b_dec.shape[0]!;
  const { kernel, threads } = rowBlock('decodeActive', d);
  const out = backend.make([rows, d], 'float32');
  const lists = [W_dec, b_dec, indices, values, counts].map((info) => backend.pointer(info));
  backend.device.launch(kernel, rows, threads, [...lists, backend.pointer(out), d, capacity]);
  return { xHat: out };
};
