/** WGSL of what a row keeps of its pre-activations. */
import type { Program } from './program.ts';
import { radix, scan } from './selectCode.ts';

/**
 * The \`limit\` largest positive values of a row, out of the list so far and a tile of pre-activations, in ascending order of
 * latents (ties: the lower latent). Radix select on the bits: positive floats sort as integers. One workgroup a row.
 */
export const keepLargest: Program = {
  key: 'msae-keep-largest',
  storage: [
    ['pre', 'read', 'f32'],
    ['oldIndices', 'read', 'i32'],
    ['oldValues', 'read', 'f32'],
    ['indices', 'write', 'i32'],
    ['values', 'write', 'f32'],
    ['counts', 'write', 'i32'],
    ['dropped', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['n0', 'u32'],
    ['tile', 'u32'],
    ['capacity', 'u32'],
    ['limit', 'u32'],
    ['first', 'u32'],
    ['track', 'u32'],
  ],
  code: `${scan}${radix}
var<workgroup> listed: u32;
var<workgroup> largest: array<f32, 256>;
fn valueAt(row: u32, e: u32, c: u32) -> f32 {
  if (e < c) { return oldValues[row * u.capacity + e]; }
  return pre[row * u.tile + e - c];
}
fn bitsAt(row: u32, e: u32, c: u32) -> u32 {
  let v = valueAt(row, e, c);
  return select(0u, bitcast<u32>(v), v > 0.0);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row = groupIndex(wid, nwg);
  if (li == 0u) {
    listed = 0u;
    if (u.first == 0u) { listed = u32(counts[row]); }
    found = 0u;
    wanted = u.limit;
  }
  let c = workgroupUniformLoad(&listed);
  let total = c + u.tile;
  var positive = 0u;
  for (var e = li; e < total; e += 256u) { if (bitsAt(row, e, c) > 0u) { positive++; } }
  _ = exclusive(li, vec2<u32>(positive, 0u));
  if (workgroupUniformLoad(&sums[255]).x > u.limit) {
    for (var shift = 32u; shift > 0u;) {
      shift -= 8u;
      atomicStore(&histogram[li], 0u);
      let prefix = workgroupUniformLoad(&found);
      for (var e = li; e < total; e += 256u) {
        let bits = bitsAt(row, e, c);
        if (bits > 0u && (shift == 24u || (bits >> (shift + 8u)) == prefix)) {
          atomicAdd(&histogram[(bits >> shift) & 255u], 1u);
        }
      }
      workgroupBarrier();
      if (li == 0u) { descend(); }
      workgroupBarrier();
    }
  } else if (li == 0u) {
    wanted = 0u;
  }
  let cut = workgroupUniformLoad(&found);
  let ties = workgroupUniformLoad(&wanted);
  let per = (total + 255u) / 256u;
  let begin = li * per;
  let to = min(total, begin + per);
  var own = vec2<u32>();
  for (var e = begin; e < to; e++) {
    let bits = bitsAt(row, e, c);
    if (bits > cut) { own.x++; } else if (bits == cut && cut > 0u) { own.y++; }
  }
  let before = exclusive(li, own);
  let all = workgroupUniformLoad(&sums[255]);
  var at = before.x + min(before.y, ties);
  var tie = before.y;
  var out = 0.0;
  let o = row * u.capacity;
  for (var e = begin; e < to; e++) {
    let bits = bitsAt(row, e, c);
    var take = bits > cut;
    if (bits == cut && cut > 0u) { take = tie < ties; tie++; }
    if (take) {
      if (e < c) { indices[o + at] = oldIndices[o + e]; } else { indices[o + at] = i32(u.n0 + e - c); }
      values[o + at] = bitcast<f32>(bits);
      at++;
    } else if (bits > 0u) {
      out = max(out, bitcast<f32>(bits));
    }
  }
  let count = all.x + min(all.y, ties);
  for (var i = count + li; i < u.capacity; i += 256u) {
    indices[o + i] = i32(u.n);
    values[o + i] = 0.0;
  }
  if (u.track == 1u) {
    largest[li] = out;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
      if (li < step) { largest[li] = max(largest[li], largest[li + step]); }
      workgroupBarrier();
    }
    if (li == 0u) {
      if (u.first == 1u) { dropped[row] = largest[0]; } else { dropped[row] = max(dropped[row], largest[0]); }
    }
  }
  if (li == 0u) { counts[row] = i32(count); }
}`,
};

/**
 * Appends every value of a tile above \`cutoff\` (relu) or above its latent's threshold − margin (jumprelu) to the row's
 * list. Values beyond the capacity are only counted. One workgroup a row.
 */
export const keepAbove: Program = {
  key: 'msae-keep-above',
  storage: [
    ['pre', 'read', 'f32'],
    ['threshold', 'read', 'f32'],
    ['indices', 'write', 'i32'],
    ['values', 'write', 'f32'],
    ['counts', 'write', 'i32'],
    ['listedPre', 'write', 'f32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['n0', 'u32'],
    ['tile', 'u32'],
    ['capacity', 'u32'],
    ['first', 'u32'],
    ['jump', 'u32'],
    ['cutoff', 'f32'],
    ['margin', 'f32'],
  ],
  code: `${scan}
var<workgroup> listed: u32;
fn belongs(row: u32, e: u32) -> bool {
  let p = pre[row * u.tile + e];
  if (u.jump == 1u) { return p > threshold[u.n0 + e] - u.margin; }
  return p > u.cutoff;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row = groupIndex(wid, nwg);
  if (li == 0u) {
    listed = 0u;
    if (u.first == 0u) { listed = u32(counts[row]); }
  }
  let c = workgroupUniformLoad(&listed);
  let per = (u.tile + 255u) / 256u;
  let begin = li * per;
  let to = min(u.tile, begin + per);
  var own = 0u;
  for (var e = begin; e < to; e++) { if (belongs(row, e)) { own++; } }
  var at = c + exclusive(li, vec2<u32>(own, 0u)).x;
  let count = c + workgroupUniformLoad(&sums[255]).x;
  let o = row * u.capacity;
  for (var e = begin; e < to; e++) {
    if (!belongs(row, e)) { continue; }
    if (at < u.capacity) {
      let p = pre[row * u.tile + e];
      indices[o + at] = i32(u.n0 + e);
      var f = p;
      if (u.jump == 1u) {
        listedPre[o + at] = p;
        if (p <= threshold[u.n0 + e]) { f = 0.0; }
      }
      values[o + at] = f;
    }
    at++;
  }
  if (u.n0 + u.tile >= u.n) {
    for (var i = count + li; i < u.capacity; i += 256u) {
      indices[o + i] = i32(u.n);
      values[o + i] = 0.0;
      if (u.jump == 1u) { listedPre[o + i] = 0.0; }
    }
  }
  if (li == 0u) {
    counts[row] = i32(count);
    // A cut row must not pass for a whole one.
    if (count > u.capacity) { values[o] = bitcast<f32>(0x7fc00000u | u.first); }
  }
}`,
};
