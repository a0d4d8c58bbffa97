/** WGSL of the report and of sums over columns. */
import { isPenalised, type Penalty } from '@msae/core/backend';
import { auxLayout, penaltyCode } from './prefixCode.ts';
import type { Program } from './program.ts';
import { treeSum } from './treeSum.ts';

/** Column sums: db_dec = Σ_rows S′_0, and the spread Σ_rows (y − ȳ)² of each column of the target. 16 columns a workgroup. */
export const columnSums: Program = {
  key: 'msae-column-sums',
  storage: [
    ['y', 'read', 'f32'],
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
      own += vec2<f32>(scratch[u.atS + row * u.d + c], y[row * u.d + c]);
    }
  }
  let sums = overRows(li, own);
  let mean = sums.y / f32(u.rows);
  var squares = 0.0;
  if (inside) {
    for (var row = li / 16u; row < u.rows; row += 16u) {
      let off = y[row * u.d + c] - mean;
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
export function reportPass(penalty: Penalty): Program {
  const penalised = isPenalised(penalty);
  return {
    key: `msae-report-${penalty.kind}`,
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
    code: `${auxLayout}${penaltyCode(penalty)}${treeSum(256, 'f32')}
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
          ${penalised ? 'own += u.penalty * (C(i32(u.n)) - C(k)) * extraAt(o + i);' : ''}
        } else if (which == 1u) {
          if (values[o + i] != 0.0) { own += 1.0; }
        } else if (which >= 3u + u.reported) {
          ${penalised ? 'own += extraAt(o + i);' : ''}
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
