/** The kernel MsaeDecodeActive on WebGPU, and its program, which also gives the residual of a prefix loss. */
import type {
  DecodeActiveAttrs,
  DecodeActiveInputs,
  DecodeActiveOutputs,
  Implementation,
} from '@msae/core/backend';
import { bufferOf, gpuBackend, grid, newTensor, type Program, record } from './program.ts';

/** ŷ = b_dec + Σ f_i d_i of every row, or y − ŷ. A row a workgroup. */
export const decodeRows: Program = {
  key: 'msae-decode-rows',
  storage: [
    ['W', 'read', 'f32'],
    ['b_dec', 'read', 'f32'],
    ['indices', 'read', 'i32'],
    ['values', 'read', 'f32'],
    ['y', 'read', 'f32'],
    ['out', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['d', 'u32'],
    ['capacity', 'u32'],
    ['residual', 'u32'],
  ],
  code: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row = groupIndex(wid, nwg);
  let o = row * u.capacity;
  for (var c = li; c < u.d; c += 64u) {
    var sum = b_dec[c];
    for (var i = 0u; i < u.capacity; i++) {
      let k = indices[o + i];
      if (k >= i32(u.n)) { break; }
      sum += values[o + i] * W[u32(k) * u.d + c];
    }
    if (u.residual == 1u) { sum = y[row * u.d + c] - sum; }
    out[row * u.d + c] = sum;
  }
}`,
};

export const decodeActive: Implementation<DecodeActiveInputs, DecodeActiveAttrs, DecodeActiveOutputs> = (
  inputs,
  _attrs,
  instance,
) => {
  const backend = gpuBackend(instance);
  const [n, d] = inputs.W_dec.shape as [number, number];
  const [rows, capacity] = inputs.indices.shape as [number, number];
  const b_dec = bufferOf(backend, inputs.b_dec);
  const buffers = [
    bufferOf(backend, inputs.W_dec),
    b_dec,
    bufferOf(backend, inputs.indices),
    bufferOf(backend, inputs.values),
    b_dec,
  ];
  const xHat = newTensor(backend, [rows, d]);
  const commands = record(backend);
  commands.dispatch(decodeRows, [...buffers, xHat.buffer], [n, d, capacity, 0], grid(rows));
  commands.submit();
  return { xHat: xHat.info };
};
