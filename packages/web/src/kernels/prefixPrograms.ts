/** WGSL of the weighted-prefix loss; formulas in core's kernels/README.md. Residuals are found again on the way back. */
import { isPenalised, type Penalty } from '@msae/core/backend';
import { auxLayout, penaltyCode } from './prefixCode.ts';
import type { Program } from './program.ts';
import { treeSum } from './treeSum.ts';

/** The sizes of a chunk of rows, and the penalty's λ and ε. */
const chunkUniforms: Program['uniforms'] = [
  ['rows', 'u32'],
  ['n', 'u32'],
  ['d', 'u32'],
  ['capacity', 'u32'],
  ['row0', 'u32'],
  ['chunk', 'u32'],
  ['penalty', 'f32'],
  ['epsilon', 'f32'],
];

/** ‖d_i‖ of every latent into aux. */
export const decoderNorms: Program = {
  key: 'msae-decoder-norms',
  storage: [
    ['W', 'read', 'f32'],
    ['aux', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['d', 'u32'],
  ],
  code: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let k = groupIndex(wid, nwg) * 64u + li;
  if (k >= u.n) { return; }
  var sum = 0.0;
  for (var c = 0u; c < u.d; c++) { sum += W[k * u.d + c] * W[k * u.d + c]; }
  aux[2u * (u.n + 1u) + u.d + k] = sqrt(sum);
}`,
};

/**
 * One row a workgroup: ∂L/∂f of its entries, ‖r_i‖² for i = 0 … C, and f_i S′_i and S′_0 for the sums over rows.
 * scratch = [f_i S′_i: chunk · C · d | S′_0: B · d | ‖r_i‖²: B · (C+1)]
 */
export function rowPass(d: number, penalty: Penalty): Program {
  const per = Math.ceil(d / 64);
  return {
    key: `msae-row-pass-${per}-${penalty.kind}`,
    storage: [
      ['y', 'read', 'f32'],
      ['W', 'read', 'f32'],
      ['indices', 'read', 'i32'],
      ['values', 'read', 'f32'],
      ['aux', 'read', 'f32'],
      ['dValues', 'write', 'f32'],
      ['scratch', 'write', 'f32'],
    ],
    uniforms: chunkUniforms,
    code: `${auxLayout}${penaltyCode(penalty)}${treeSum(64, 'vec2<f32>')}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let local = groupIndex(wid, nwg);
  let row = u.row0 + local;
  let o = row * u.capacity;
  let scale = 2.0 / f32(u.rows);
  let atS = u.chunk * u.capacity * u.d + row * u.d;
  let atSquares = u.chunk * u.capacity * u.d + u.rows * u.d + row * (u.capacity + 1u);
  var r: array<f32, ${per}>;
  var S: array<f32, ${per}>;
  var T: array<f32, ${per}>;
  for (var q = 0u; q < ${per}u; q++) {
    let c = q * 64u + li;
    if (c < u.d) { r[q] = bias(c) - y[row * u.d + c]; }
  }
  var count = 0u;
  for (; count < u.capacity; count++) {
    let k = indices[o + count];
    if (k >= i32(u.n)) { break; }
    let f = values[o + count];
    for (var q = 0u; q < ${per}u; q++) {
      let c = q * 64u + li;
      if (c < u.d) { r[q] += f * W[u32(k) * u.d + c]; }
    }
  }
  for (var i = count + li; i < u.capacity; i += 64u) { dValues[o + i] = 0.0; }
  for (var i = count; ; i--) {
    var to = i32(u.n);
    if (i < count) { to = indices[o + i]; }
    var w = C(to);
    var v = V(to);
    var k = 0;
    var f = 0.0;
    if (i > 0u) {
      k = indices[o + i - 1u];
      f = values[o + i - 1u];
      w -= C(k);
      v -= V(k);
    }
    var own = vec2<f32>();
    for (var q = 0u; q < ${per}u; q++) {
      let c = q * 64u + li;
      if (c >= u.d) { continue; }
      own.x += r[q] * r[q];
      S[q] += scale * w * r[q];
      T[q] += scale * v * r[q];
      if (i == 0u) {
        scratch[atS + c] = T[q];
      } else {
        let direction = W[u32(k) * u.d + c];
        own.y += S[q] * direction;
        scratch[(local * u.capacity + i - 1u) * u.d + c] = f * T[q];
        r[q] -= f * direction;
      }
    }
    let sums = total(li, own);
    if (li == 0u) {
      scratch[atSquares + i] = sums.x;
      if (i > 0u) {
        let held = C(i32(u.n)) - C(k);
        let g = u.penalty * held * penaltySlope(abs(f) * norm(k)) / f32(u.rows);
        dValues[o + i - 1u] = sums.y + ${isPenalised(penalty) ? 'select(g, -g, f < 0.0) * norm(k)' : '0.0'};
      }
    }
    if (i == 0u) { break; }
  }
}`,
  };
}

/** dW_dec of a latent a workgroup: the sum of its f S′ of this chunk of rows, and with the first chunk the penalty's part. */
export function decoderGradient(penalty: Penalty): Program {
  return {
    key: `msae-decoder-gradient-${penalty.kind}`,
    storage: [
      ['starts', 'read', 'u32'],
      ['entries', 'read', 'u32'],
      ['scratch', 'read', 'f32'],
      ['W', 'read', 'f32'],
      ['values', 'read', 'f32'],
      ['aux', 'read', 'f32'],
      ['dW', 'write', 'f32'],
    ],
    uniforms: chunkUniforms,
    code: `${auxLayout}${penaltyCode(penalty)}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let k = groupIndex(wid, nwg);
  if (k >= u.n) { return; }
  let begin = starts[k];
  let to = starts[k + 1u];
  let first = u.row0 * u.capacity;
  let end = first + u.chunk * u.capacity;
  var factor = 0.0;
  if (${isPenalised(penalty)} && u.row0 == 0u && norm(i32(k)) > 0.0) {
    let held = C(i32(u.n)) - C(i32(k));
    for (var i = begin; i < to; i++) {
      let size = abs(values[entries[i]]);
      factor += u.penalty * held * penaltySlope(size * norm(i32(k))) * size / f32(u.rows);
    }
    factor = factor / norm(i32(k));
  }
  for (var c = li; c < u.d; c += 64u) {
    var sum = factor * W[k * u.d + c];
    if (u.row0 > 0u) { sum = dW[k * u.d + c]; }
    for (var i = begin; i < to; i++) {
      let e = entries[i];
      if (e >= first && e < end) { sum += scratch[(e - first) * u.d + c]; }
    }
    dW[k * u.d + c] = sum;
  }
}`,
  };
}
