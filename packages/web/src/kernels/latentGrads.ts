/** The kernel MsaeLatentGrads on WebGPU: the encoder's gradients, each latent summed over its own entries in a fixed order. */
import type { LatentGradsAttrs } from '@msae/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { dropLatentLists, latentLists } from './latentLists.ts';
import { bufferOf, type GpuBackend, grid, newTensor, type Program, record } from './program.ts';

/** dW_enc[:, k] = Σ g (x − b_dec), 64 latents × 4 columns a workgroup. An entry whose value is 0 passes no gradient. */
const encoderGradient: Program = {
  key: 'msae-encoder-gradient',
  storage: [
    ['starts', 'read', 'u32'],
    ['entries', 'read', 'u32'],
    ['values', 'read', 'f32'],
    ['dValues', 'read', 'f32'],
    ['x', 'read', 'f32'],
    ['b_dec', 'read', 'f32'],
    ['dW', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['d', 'u32'],
    ['capacity', 'u32'],
    ['centred', 'u32'],
  ],
  code: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let k = wid.x * 64u + li;
  let c0 = wid.y * 4u;
  if (k >= u.n) { return; }
  let width = min(4u, u.d - c0);
  var centre = vec4<f32>();
  if (u.centred == 1u) { for (var c = 0u; c < width; c++) { centre[c] = b_dec[c0 + c]; } }
  var sum = vec4<f32>();
  for (var i = starts[k]; i < starts[k + 1u]; i++) {
    let e = entries[i];
    if (values[e] == 0.0) { continue; }
    let at = (e / u.capacity) * u.d + c0;
    var row = vec4<f32>();
    for (var c = 0u; c < width; c++) { row[c] = x[at + c]; }
    sum += dValues[e] * (row - centre);
  }
  for (var c = 0u; c < width; c++) { dW[(c0 + c) * u.n + k] = sum[c]; }
}`,
};

const perLatent = (body: string): string => `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let k = groupIndex(wid, nwg) * 64u + li;
  if (k >= u.n) { return; }
  ${body}
}`;

const latentSums: Program = {
  key: 'msae-latent-sums',
  storage: [
    ['starts', 'read', 'u32'],
    ['entries', 'read', 'u32'],
    ['values', 'read', 'f32'],
    ['dValues', 'read', 'f32'],
    ['db', 'write', 'f32'],
    ['firings', 'write', 'f32'],
    ['squares', 'write', 'f32'],
  ],
  uniforms: [['n', 'u32']],
  code: perLatent(`
  var sums = vec3<f32>();
  for (var i = starts[k]; i < starts[k + 1u]; i++) {
    let f = values[entries[i]];
    if (f != 0.0) { sums += vec3<f32>(dValues[entries[i]], 1.0, f * f); }
  }
  db[k] = sums.x;
  firings[k] = sums.y;
  squares[k] = sums.z;`),
};

const thresholdSums: Program = {
  key: 'msae-threshold-sums',
  storage: [
    ['starts', 'read', 'u32'],
    ['entries', 'read', 'u32'],
    ['dValues', 'read', 'f32'],
    ['pre', 'read', 'f32'],
    ['threshold', 'read', 'f32'],
    ['dThreshold', 'write', 'f32'],
    ['near', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['h', 'f32'],
  ],
  code: perLatent(`
  let t = threshold[k];
  var sums = vec2<f32>();
  for (var i = starts[k]; i < starts[k + 1u]; i++) {
    let e = entries[i];
    if (abs(pre[e] - t) < u.h / 2.0) { sums += vec2<f32>(dValues[e], 1.0); }
  }
  dThreshold[k] = -(t / u.h) * sums.x;
  near[k] = sums.y;`),
};

export function latentGrads(
  backend: GpuBackend,
  inputs: Readonly<Record<string, TensorInfo | undefined>>,
  { nLatents: n, bandwidth }: LatentGradsAttrs,
): TensorInfo[] {
  const [, d] = inputs.x!.shape as [number, number];
  const capacity = inputs.indices!.shape[1]!;
  const [x, values, dValues] = (['x', 'values', 'dValues'] as const).map((name) =>
    bufferOf(backend, inputs[name]!),
  ) as [GPUBuffer, GPUBuffer, GPUBuffer];
  const b_dec = inputs.b_dec ? bufferOf(backend, inputs.b_dec) : x;
  const pre = inputs.pre && bufferOf(backend, inputs.pre);
  const threshold = inputs.threshold && bufferOf(backend, inputs.threshold);
  const dW = newTensor(backend, [d, n]);
  const sums = [newTensor(backend, [n]), newTensor(backend, [n]), newTensor(backend, [n])];
  const thresholds = threshold ? [newTensor(backend, [n]), newTensor(backend, [n])] : [];
  const commands = record(backend);
  const { starts, entries } = latentLists(backend, commands, inputs.indices!, n);
  commands.dispatch(
    encoderGradient,
    [starts, entries, values, dValues, x, b_dec, dW.buffer],
    [n, d, capacity, inputs.b_dec ? 1 : 0],
    [Math.ceil(n / 64), Math.ceil(d / 4), 1],
  );
  const groups = grid(Math.ceil(n / 64));
  commands.dispatch(
    latentSums,
    [starts, entries, values, dValues, ...sums.map((s) => s.buffer)],
    [n],
    groups,
  );
  if (threshold && pre) {
    commands.dispatch(
      thresholdSums,
      [starts, entries, dValues, pre, threshold, ...thresholds.map((t) => t.buffer)],
      [n, bandwidth],
      groups,
    );
  }
  commands.submit();
  dropLatentLists();
  return [dW, ...sums, ...thresholds].map(({ info }) => info);
}
