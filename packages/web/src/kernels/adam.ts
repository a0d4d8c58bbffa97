/** The kernel MsaeAdam on WebGPU: in place, one dispatch a parameter. */
import type { AdamAttrs, AdamInputs, AdamOutputs, Implementation } from '@msae/core/backend';
import { bufferOf, changedInPlace, gpuBackend, grid, type Program, record, sizeOf } from './program.ts';

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

export const adam: Implementation<AdamInputs, AdamAttrs, AdamOutputs> = (inputs, attrs, instance) => {
  const backend = gpuBackend(instance);
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = attrs;
  const { param, m, v, grad, scale } = inputs;
  const buffers = [param, m, v, grad, scale].map((tensor) => bufferOf(backend, tensor));
  const n = sizeOf(param);
  const commands = record(backend);
  const corrections = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)];
  commands.dispatch(
    adamStep,
    buffers,
    [n, learningRate, beta1, beta2, epsilon, weightDecay, ...corrections],
    grid(Math.ceil(n / 256)),
  );
  commands.submit();
  for (const tensor of [param, m, v]) changedInPlace(backend, tensor);
  return {};
};
