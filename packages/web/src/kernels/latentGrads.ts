/** The kernel MsaeLatentGrads on WebGPU: the encoder's gradients, each latent summed over its own entries in a fixed order. */
import type {
  Implementation,
  LatentGradsAttrs,
  LatentGradsInputs,
  LatentGradsOutputs,
} from '@msae/core/backend';
import { dropLatentLists, latentLists } from './latentLists.ts';
import { bufferOf, gpuBackend, grid, newTensor, type Program, record } from './program.ts';

/**
 * dW_enc[:, k] = Σ g (x − b_dec), 64 latents × 4 columns a workgroup. Every listed entry counts, whatever its sign; where lists
 * go below thresholds (`below`), those with value 0 do not.
 */
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
    ['below', 'u32'],
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
    if (u.below == 1u && values[e] == 0.0) { continue; }
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
  uniforms: [
    ['n', 'u32'],
    ['below', 'u32'],
  ],
  code: perLatent(`
  var sums = vec3<f32>();
  for (var i = starts[k]; i < starts[k + 1u]; i++) {
    let f = values[entries[i]];
    if (u.below == 0u || f != 0.0) { sums += vec3<f32>(dValues[entries[i]], 1.0, f * f); }
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

export const latentGrads: Implementation<LatentGradsInputs, LatentGradsAttrs, LatentGradsOutputs> = (
  inputs,
  { nLatents: n, bandwidth },
  instance,
) => {
  const backend = gpuBackend(instance);
  const d = inputs.x.shape[1]!;
  const capacity = inputs.indices.shape[1]!;
  const x = bufferOf(backend, inputs.x);
  const values = bufferOf(backend, inputs.values);
  const dValues = bufferOf(backend, inputs.dValues);
  const b_dec = inputs.b_dec ? bufferOf(backend, inputs.b_dec) : x;
  const pre = inputs.pre && bufferOf(backend, inputs.pre);
  const threshold = inputs.threshold && bufferOf(backend, inputs.threshold);
  const vector = () => newTensor(backend, [n]);
  const dW = newTensor(backend, [d, n]);
  const [db, firings, squares] = [vector(), vector(), vector()];
  const thresholds = pre && threshold ? { dThreshold: vector(), near: vector() } : undefined;
  const below = thresholds ? 1 : 0;
  const commands = record(backend);
  const { starts, entries } = latentLists(backend, commands, inputs.indices, n);
  commands.dispatch(
    encoderGradient,
    [starts, entries, values, dValues, x, b_dec, dW.buffer],
    [n, d, capacity, inputs.b_dec ? 1 : 0, below],
    [Math.ceil(n / 64), Math.ceil(d / 4), 1],
  );
  const groups = grid(Math.ceil(n / 64));
  commands.dispatch(
    latentSums,
    [starts, entries, values, dValues, db.buffer, firings.buffer, squares.buffer],
    [n, below],
    groups,
  );
  if (thresholds) {
    commands.dispatch(
      thresholdSums,
      [starts, entries, dValues, pre!, threshold!, thresholds.dThreshold.buffer, thresholds.near.buffer],
      [n, bandwidth],
      groups,
    );
  }
  commands.submit();
  dropLatentLists();
  return {
    dW_enc: dW.info,
    db_enc: db.info,
    firings: firings.info,
    squares: squares.info,
    dThreshold: thresholds?.dThreshold.info,
    near: thresholds?.near.info,
  };
};
