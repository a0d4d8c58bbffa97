/** The kernels MsaeAdam (in place, one dispatch a parameter) and MsaeGlobalNorm (two dispatches in all) on WebGPU. */
import type { AdamAttrs } from '@msae/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import {
  bufferOf,
  changedInPlace,
  type GpuBackend,
  grid,
  newTensor,
  type Program,
  record,
} from './program.ts';

type Inputs = Readonly<Record<string, TensorInfo | undefined>>;

const adamStep: Program = {
  key: 'msae-adam',
  storage: [
    ['param', 'write', 'f32'],
    ['m', 'write', 'f32'],
    ['v', 'write', 'f32'],
    ['grad', 'read', 'f32'],
    ['scale', 'read', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['rate', 'f32'],
    ['beta1', 'f32'],
    ['beta2', 'f32'],
    ['epsilon', 'f32'],
    ['decay', 'f32'],
    ['meanScale', 'f32'],
    ['squareScale', 'f32'],
  ],
  code: `
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let i = groupIndex(wid, nwg) * 256u + li;
  if (i >= u.n) { return; }
  let g = grad[i] * scale[0];
  let mean = m[i] * u.beta1 + g * (1.0 - u.beta1);
  let square = v[i] * u.beta2 + g * g * (1.0 - u.beta2);
  m[i] = mean;
  v[i] = square;
  let w = param[i];
  param[i] = w - u.rate * (mean * u.meanScale / (sqrt(square * u.squareScale) + u.epsilon) + u.decay * w);
}`,
};

export function adam(backend: GpuBackend, inputs: Inputs, attrs: AdamAttrs): TensorInfo[] {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const names = ['param', 'm', 'v', 'grad', 'scale'] as const;
  const buffers = names.map((name) => bufferOf(backend, inputs[name]!));
  const n = sizeOf(inputs.param!);
  const commands = record(backend);
  const corrections = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)];
  commands.dispatch(
    adamStep,
    buffers,
    [n, learningRate, beta1, beta2, epsilon, weightDecay, ...corrections],
    grid(Math.ceil(n / 256)),
  );
  commands.submit();
  for (const name of ['param', 'm', 'v'] as const) changedInPlace(backend, inputs[name]!);
  return [];
}

/** Workgroups that share a tensor's sum. */
const SHARES = 64;
/** Tensors of one dispatch. */
const MOST = 6;

const treeSum = `
var<workgroup> parts: array<f32, 256>;
fn total(li: u32, own: f32) -> f32 {
  parts[li] = own;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step >>= 1u) {
    if (li < step) { parts[li] += parts[li + step]; }
    workgroupBarrier();
  }
  return parts[0];
}`;

function squareSums(count: number): Program {
  const each = Array.from({ length: count }, (_, t) => t);
  return {
    key: `msae-square-sums-${count}`,
    storage: [...each.map((t) => [`t${t}`, 'read', 'f32'] as const), ['sums', 'write', 'f32']],
    uniforms: [['at', 'u32'], ...each.map((t) => [`n${t}`, 'u32'] as const)],
    code: `${treeSum}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let first = wid.x * 256u + li;
  var own = 0.0;
  switch (wid.y) {
${each.map((t) => `    case ${t}u: { for (var i = first; i < u.n${t}; i += ${256 * SHARES}u) { own += t${t}[i] * t${t}[i]; } }`).join('\n')}
    default: {}
  }
  let sum = total(li, own);
  if (li == 0u) { sums[u.at + wid.y * ${SHARES}u + wid.x] = sum; }
}`,
  };
}

const rootOfSums: Program = {
  key: 'msae-root-of-sums',
  storage: [
    ['sums', 'read', 'f32'],
    ['norm', 'write', 'f32'],
  ],
  uniforms: [['n', 'u32']],
  code: `${treeSum}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32) {
  var own = 0.0;
  for (var i = li; i < u.n; i += 256u) { own += sums[i]; }
  let sum = total(li, own);
  if (li == 0u) { norm[0] = sqrt(sum); }
}`,
};

export function globalNorm(backend: GpuBackend, inputs: Inputs): TensorInfo {
  const tensors = Object.values(inputs).filter((tensor) => tensor !== undefined);
  const buffers = tensors.map((tensor) => bufferOf(backend, tensor));
  const sums = newTensor(backend, [tensors.length * SHARES]);
  const norm = newTensor(backend, [1]);
  const commands = record(backend);
  for (let t = 0; t < tensors.length; t += MOST) {
    const some = tensors.slice(t, t + MOST);
    const sizes = some.map(sizeOf);
    commands.dispatch(
      squareSums(some.length),
      [...buffers.slice(t, t + MOST), sums.buffer],
      [t * SHARES, ...sizes],
      [SHARES, some.length, 1],
    );
  }
  commands.dispatch(rootOfSums, [sums.buffer, norm.buffer], [tensors.length * SHARES], [1, 1, 1]);
  commands.submit();
  backend.disposeData(sums.info.dataId);
  return norm.info;
}

function sizeOf(tensor: TensorInfo): number {
  return tensor.shape.reduce((product, size) => product * size, 1);
}
