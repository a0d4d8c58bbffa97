/** WGSL of the weighted-prefix loss; formulas in @msae/core, "the sparse path". Residuals are found again on the way back. */
import type { PenaltyKind } from '@msae/core';
import type { Program } from './program.ts';

/** s(u) − s(0) and s′(u) of a penalty, as WGSL functions. */
function penaltyCode(kind: PenaltyKind): string {
  const value = {
    none: '0.0',
    l1: 'v',
    log: 'log((v + u.epsilon) / u.epsilon)',
    sqrt: 'sqrt(v + u.epsilon) - sqrt(u.epsilon)',
    tanh: 'tanh(v)',
  }[kind];
  const slope = {
    none: '0.0',
    l1: '1.0',
    log: '1.0 / (v + u.epsilon)',
    sqrt: '0.5 / sqrt(v + u.epsilon)',
    tanh: '1.0 - tanh(v) * tanh(v)',
  }[kind];
  return `
fn penaltyExtra(v: f32) -> f32 { return ${value}; }
fn penaltySlope(v: f32) -> f32 { return ${slope}; }`;
}

const treeSum = (threads: number, type: string): string => `
var<workgroup> parts: array<${type}, ${threads}>;
fn total(li: u32, own: ${type}) -> ${type} {
  parts[li] = own;
  workgroupBarrier();
  for (var step = ${threads / 2}u; step > 0u; step >>= 1u) {
    if (li < step) { parts[li] += parts[li + step]; }
    workgroupBarrier();
  }
  let sum = parts[0];
  workgroupBarrier();
  return sum;
}`;

/** aux = [C(0…N) | V(0…N) | b_dec (d) | ‖d_i‖ (N)] */
const auxLayout = `
fn C(k: i32) -> f32 { return aux[k]; }
fn V(k: i32) -> f32 { return aux[i32(u.n) + 1 + k]; }
fn bias(c: u32) -> f32 { return aux[2u * (u.n + 1u) + c]; }
fn norm(k: i32) -> f32 { return aux[2u * (u.n + 1u) + u.d + u32(k)]; }`;

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
export function rowPass(d: number, kind: PenaltyKind): Program {
  const per = Math.ceil(d / 64);
  return {
    key: `msae-row-pass-${per}-${kind}`,
    storage: [
      ['x', 'read', 'f32'],
      ['W', 'read', 'f32'],
      ['indices', 'read', 'i32'],
      ['values', 'read', 'f32'],
      ['aux', 'read', 'f32'],
      ['dValues', 'write', 'f32'],
      ['scratch', 'write', 'f32'],
    ],
    uniforms: [
      ['rows', 'u32'],
      ['n', 'u32'],
      ['d', 'u32'],
      ['capacity', 'u32'],
      ['row0', 'u32'],
      ['chunk', 'u32'],
      ['penalty', 'f32'],
      ['epsilon', 'f32'],
    ],
    code: `${auxLayout}${penaltyCode(kind)}${treeSum(64, 'vec2<f32>')}
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
    if (c < u.d) { r[q] = bias(c) - x[row * u.d + c]; }
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
        dValues[o + i - 1u] = sums.y + ${kind === 'none' ? '0.0' : 'g * norm(k)'};
      }
    }
    if (i == 0u) { break; }
  }
}`,
  };
}

/** dW_dec of a latent a workgroup: the sum of its f S′ of this chunk of rows, and with the first chunk the penalty's part. */
export function decoderGradient(kind: PenaltyKind): Program {
  return {
    key: `msae-decoder-gradient-${kind}`,
    storage: [
      ['starts', 'read', 'u32'],
      ['entries', 'read', 'u32'],
      ['scratch', 'read', 'f32'],
      ['W', 'read', 'f32'],
      ['values', 'read', 'f32'],
      ['aux', 'read', 'f32'],
      ['dW', 'write', 'f32'],
    ],
    uniforms: [
      ['rows', 'u32'],
      ['n', 'u32'],
      ['d', 'u32'],
      ['capacity', 'u32'],
      ['row0', 'u32'],
      ['chunk', 'u32'],
      ['penalty', 'f32'],
      ['epsilon', 'f32'],
    ],
    code: `${auxLayout}${penaltyCode(kind)}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let k = groupIndex(wid, nwg);
  if (k >= u.n) { return; }
  let begin = starts[k];
  let to = starts[k + 1u];
  let first = u.row0 * u.capacity;
  let end = first + u.chunk * u.capacity;
  var factor = 0.0;
  if (${kind !== 'none'} && u.row0 == 0u && norm(i32(k)) > 0.0) {
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

/** Column sums: db_dec = Σ_rows S′_0, and the spread Σ_rows (x − x̄)² of each column. 16 columns a workgroup. */
export const columnSums: Program = {
  key: 'msae-column-sums',
  storage: [
    ['x', 'read', 'f32'],
    ['scratch', 'read', 'f32'],
    ['db', 'write', 'f32'],
    ['spread', 'write', 'f32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['d', 'u32'],
    ['atS', 'u32'],
    ['spare', 'u32'],
  ],
  code: `
var<workgroup> parts: array<vec2<f32>, 256>;
fn overRows(li: u32, own: vec2<f32>) -> vec2<f32> {
  parts[li] = own;
  workgroupBarrier();
  for (var step = 8u; step > 0u; step >>= 1u) {
    if (li / 16u < step) { parts[li] += parts[li + step * 16u]; }
    workgroupBarrier();
  }
  let sum = parts[li % 16u];
  workgroupBarrier();
  return sum;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let c = wid.x * 16u + li % 16u;
  let inside = c < u.d;
  var own = vec2<f32>();
  if (inside) {
    for (var row = li / 16u; row < u.rows; row += 16u) {
      own += vec2<f32>(scratch[u.atS + row * u.d + c], x[row * u.d + c]);
    }
  }
  let sums = overRows(li, own);
  let mean = sums.y / f32(u.rows);
  var squares = 0.0;
  if (inside) {
    for (var row = li / 16u; row < u.rows; row += 16u) {
      let off = x[row * u.d + c] - mean;
      squares += off * off;
    }
  }
  let all = overRows(li, vec2<f32>(squares, 0.0));
  if (inside && li < 16u) {
    db[c] = sums.x;
    spread[c] = all.x;
  }
}`,
};

/** The report [3 + 2R]: a number a workgroup. Lengths come as the last R words of `lengths`. */
export function reportPass(kind: PenaltyKind): Program {
  return {
    key: `msae-report-${kind}`,
    storage: [
      ['indices', 'read', 'i32'],
      ['values', 'read', 'f32'],
      ['scratch', 'read', 'f32'],
      ['aux', 'read', 'f32'],
      ['spread', 'read', 'f32'],
      ['lengths', 'read', 'i32'],
      ['report', 'write', 'f32'],
    ],
    uniforms: [
      ['rows', 'u32'],
      ['n', 'u32'],
      ['d', 'u32'],
      ['capacity', 'u32'],
      ['reported', 'u32'],
      ['atSquares', 'u32'],
      ['penalty', 'f32'],
      ['epsilon', 'f32'],
      ['inactive', 'f32'],
    ],
    code: `${auxLayout}${penaltyCode(kind)}${treeSum(256, 'f32')}
fn squareAt(row: u32, i: u32) -> f32 { return scratch[u.atSquares + row * (u.capacity + 1u) + i]; }
fn extraAt(e: u32) -> f32 { return penaltyExtra(abs(values[e]) * norm(indices[e])); }
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let which = wid.x;
  var own = 0.0;
  var length = i32(u.n);
  if (which >= 3u) { length = lengths[(which - 3u) % u.reported]; }
  if (which == 2u) {
    for (var c = li; c < u.d; c += 256u) { own += spread[c]; }
  } else {
    for (var row = li; row < u.rows; row += 256u) {
      let o = row * u.capacity;
      var i = 0u;
      var before = 0.0;
      for (; i < u.capacity; i++) {
        let k = indices[o + i];
        if (k >= length) { break; }
        if (which == 0u) {
          own += (C(k) - before) * squareAt(row, i);
          before = C(k);
          ${kind === 'none' ? '' : 'own += u.penalty * (C(i32(u.n)) - C(k)) * extraAt(o + i);'}
        } else if (which == 1u) {
          if (values[o + i] != 0.0) { own += 1.0; }
        } else if (which >= 3u + u.reported) {
          ${kind === 'none' ? '' : 'own += extraAt(o + i);'}
        }
      }
      if (which == 0u) { own += (C(i32(u.n)) - before) * squareAt(row, i); }
      if (which >= 3u && which < 3u + u.reported) { own += squareAt(row, i); }
    }
  }
  if (which == 0u && u.inactive != 0.0) {
    let each = u.penalty * u.inactive * f32(u.rows);
    for (var k = li; k < u.n; k += 256u) { own += each * (C(i32(u.n)) - C(i32(k))); }
  }
  let sum = total(li, own) / f32(u.rows);
  if (li == 0u) {
    var constant = 0.0;
    if (which >= 3u + u.reported) { constant = u.inactive * f32(length); }
    report[which] = sum + constant;
  }
}`,
  };
}

/** x̂ = b_dec + Σ f_i d_i of every row, or x − x̂. A row a workgroup. */
export const decodeRows: Program = {
  key: 'msae-decode-rows',
  storage: [
    ['W', 'read', 'f32'],
    ['b_dec', 'read', 'f32'],
    ['indices', 'read', 'i32'],
    ['values', 'read', 'f32'],
    ['x', 'read', 'f32'],
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
    if (u.residual == 1u) { sum = x[row * u.d + c] - sum; }
    out[row * u.d + c] = sum;
  }
}`,
};
