/** The kernel MsaeGlobalNorm on WebGPU: one dispatch for six tensors and one for the root. */
import type {
  GlobalNormAttrs,
  GlobalNormInputs,
  GlobalNormOutputs,
  Implementation,
} from '@msae/core/backend';
import { bufferOf, gpuBackend, newTensor, type Program, record, sizeOf } from './program.ts';
import { treeSum } from './treeSum.ts';

/** Workgroups that share a tensor's sum. */
const SHARES = 64;
/** Tensors of one dispatch. */
const MOST = 6;

function squareSums(count: number): Program {
  const each = Array.from({ length: count }, (_, t) => t);
  return {
    key: `msae-square-sums-${count}`,
    storage: [...each.map((t) => [`t${t}`, 'read', 'f32'] as const), ['sums', 'write', 'f32']],
    uniforms: [['at', 'u32'], ...each.map((t) => [`n${t}`, 'u32'] as const)],
    code: `${treeSum(256, 'f32')}
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
  code: `${treeSum(256, 'f32')}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32) {
  var own = 0.0;
  for (var i = li; i < u.n; i += 256u) { own += sums[i]; }
  let sum = total(li, own);
  if (li == 0u) { norm[0] = sqrt(sum); }
}`,
};

export const globalNorm: Implementation<GlobalNormInputs, GlobalNormAttrs, GlobalNormOutputs> = (
  inputs,
  _attrs,
  instance,
) => {
  const backend = gpuBackend(instance);
  const tensors = Object.values(inputs);
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
  return { norm: norm.info };
};
