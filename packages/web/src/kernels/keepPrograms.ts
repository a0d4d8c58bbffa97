/** WGSL of what a row keeps of its pre-activations. */
import type { Program } from './program.ts';
import { radix, scan, score } from './selectCode.ts';

/**
 * The \`limit\` largest scores above 0 of a row, out of the list so far and a tile of pre-activations, in ascending order of
 * latents (ties: the lower latent); values keep their signs. Radix select on the bits: scores sort as integers. One workgroup
 * a row.
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
    ['dropped', 'write', 'u32'],
  ],
  uniforms: [
    ['n', 'u32'],
    ['n0', 'u32'],
    ['tile', 'u32'],
    ['capacity', 'u32'],
    ['limit', 'u32'],
    ['first', 'u32'],
    ['track', 'u32'],
    ['magnitude', 'u32'],
  ],
  code: `${score}${scan}${radix}
var<workgroup> listed: u32;
var<workgroup> largest: array<u32, 256>;
fn valueAt(row: u32, e: u32, c: u32) -> f32 {
  if (e < c) { return oldValues[row * u.capacity + e]; }
  return pre[row * u.tile + e - c];
}
fn keyAt(row: u32, e: u32, c: u32) -> u32 { return scoreKey(valueAt(row, e, c)); }
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
  var candidates = 0u;
  for (var e = li; e < total; e += 256u) { if (keyAt(row, e, c) > 0u) { candidates++; } }
  _ = exclusive(li, vec2<u32>(candidates, 0u));
  if (workgroupUniformLoad(&sums[255]).x > u.limit) {
    for (var shift = 32u; shift > 0u;) {
      shift -= 8u;
      atomicStore(&histogram[li], 0u);
      let prefix = workgroupUniformLoad(&found);
      for (var e = li; e < total; e += 256u) {
        let key = keyAt(row, e, c);
        if (key > 0u && (shift == 24u || (key >> (shift + 8u)) == prefix)) {
          atomicAdd(&histogram[(key >> shift) & 255u], 1u);
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
    let key = keyAt(row, e, c);
    if (key > cut) { own.x++; } else if (key == cut && cut > 0u) { own.y++; }
  }
  let before = exclusive(li, own);
  let all = workgroupUniformLoad(&sums[255]);
  var at = before.x + min(before.y, ties);
  var tie = before.y;
  var out = 0u;
  let o = row * u.capacity;
  for (var e = begin; e < to; e++) {
    let key = keyAt(row, e, c);
    var take = key > cut;
    if (key == cut && cut > 0u) { take = tie < ties; tie++; }
    if (take) {
      if (e < c) { indices[o + at] = oldIndices[o + e]; } else { indices[o + at] = i32(u.n0 + e - c); }
      values[o + at] = valueAt(row, e, c);
      at++;
    } else {
      out = max(out, key);
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
 * Appends every value of a tile whose score is above \`cutoff\`, or with \`jump\` above its latent's threshold − margin, to the
 * row's list; so is a NaN. Values beyond the capacity are only counted. One workgroup a row.
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
    ['magnitude', 'u32'],
    ['cutoff', 'f32'],
    ['margin', 'f32'],
  ],
  code: `${score}${scan}
var<workgroup> listed: u32;
fn scoreOf(v: f32) -> f32 { return select(v, abs(v), u.magnitude == 1u); }
fn belongs(row: u32, e: u32) -> bool {
  let p = pre[row * u.tile + e];
  if (isNaN(p)) { return true; }
  if (u.jump == 1u) { return scoreOf(p) > threshold[u.n0 + e] - u.margin; }
  return scoreOf(p) > u.cutoff;
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
        if (!isNaN(p) && scoreOf(p) <= threshold[u.n0 + e]) { f = 0.0; }
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
  storageBarrier();
  if (li == 0u) {
    counts[row] = i32(count);
    // A cut row must not pass for a whole one.
    if (count > u.capacity) { values[o] = bitcast<f32>(0x7fc00000u | u.first); }
  }
}`,
};
