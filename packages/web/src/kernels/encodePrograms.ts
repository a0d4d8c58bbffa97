/** WGSL of the encoder: pre-activations of a tile of latents, and what a row keeps of them. */
import type { Program } from './program.ts';

/** pre[B, T] = (x − b_dec) W_enc[:, n0 … n0+T) + b_enc: 64 × 64 outputs a workgroup, 4 × 4 a thread. */
export const preActivations: Program = {
  key: 'msae-pre-activations',
  storage: [
    ['x', 'read', 'f32'],
    ['W', 'read', 'f32'],
    ['b_enc', 'read', 'f32'],
    ['b_dec', 'read', 'f32'],
    ['pre', 'write', 'f32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['d', 'u32'],
    ['n', 'u32'],
    ['n0', 'u32'],
    ['tile', 'u32'],
    ['centred', 'u32'],
  ],
  code: `
var<workgroup> a_tile: array<f32, 1024>; // [k][row]
var<workgroup> w_tile: array<f32, 1024>; // [k][latent]
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row0 = wid.y * 64u;
  let col0 = wid.x * 64u;
  let tr = (li / 16u) * 4u;
  let tc = (li % 16u) * 4u;
  var acc0 = vec4<f32>(); var acc1 = vec4<f32>(); var acc2 = vec4<f32>(); var acc3 = vec4<f32>();
  for (var k0 = 0u; k0 < u.d; k0 += 16u) {
    for (var e = li; e < 1024u; e += 256u) {
      let r = e / 16u;
      let k = e % 16u;
      var v = 0.0;
      if (row0 + r < u.rows && k0 + k < u.d) {
        v = x[(row0 + r) * u.d + k0 + k];
        if (u.centred == 1u) { v -= b_dec[k0 + k]; }
      }
      a_tile[k * 64u + r] = v;
      let kw = e / 64u;
      let c = e % 64u;
      var w = 0.0;
      if (k0 + kw < u.d && col0 + c < u.tile) { w = W[(k0 + kw) * u.n + u.n0 + col0 + c]; }
      w_tile[kw * 64u + c] = w;
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let o = k * 64u;
      let w = vec4<f32>(w_tile[o + tc], w_tile[o + tc + 1u], w_tile[o + tc + 2u], w_tile[o + tc + 3u]);
      acc0 += a_tile[o + tr] * w;
      acc1 += a_tile[o + tr + 1u] * w;
      acc2 += a_tile[o + tr + 2u] * w;
      acc3 += a_tile[o + tr + 3u] * w;
    }
    workgroupBarrier();
  }
  for (var c = 0u; c < 4u; c++) {
    let col = col0 + tc + c;
    if (col >= u.tile) { continue; }
    let b = b_enc[u.n0 + col];
    let sums = vec4<f32>(acc0[c], acc1[c], acc2[c], acc3[c]);
    for (var r = 0u; r < 4u; r++) {
      if (row0 + tr + r < u.rows) { pre[(row0 + tr + r) * u.tile + col] = sums[r] + b; }
    }
  }
}`,
};

const scan = `
var<workgroup> sums: array<vec2<u32>, 256>;
/** Exclusive prefix sums over the workgroup's threads; sums[255] then holds the inclusive total of all. */
fn exclusive(li: u32, own: vec2<u32>) -> vec2<u32> {
  sums[li] = own;
  workgroupBarrier();
  for (var step = 1u; step < 256u; step <<= 1u) {
    var add = vec2<u32>();
    if (li >= step) { add = sums[li - step]; }
    workgroupBarrier();
    sums[li] += add;
    workgroupBarrier();
  }
  return sums[li] - own;
}`;

const radix = `
var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> found: u32;
var<workgroup> wanted: u32;
/** Thread 0, between barriers: goes down the histogram until \`wanted\` values are covered. */
fn descend() {
  var left = wanted;
  var bin = 255u;
  loop {
    let c = atomicLoad(&histogram[bin]);
    if (c >= left || bin == 0u) { break; }
    left -= c;
    bin--;
  }
  wanted = left;
  found = (found << 8u) | bin;
}`;

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

/** The cutoff of batchtopk: the \`keep\`-th largest listed value of the batch, and how many ties each row may keep. One workgroup. */
export const batchCutoff: Program = {
  key: 'msae-batch-cutoff',
  storage: [
    ['values', 'read', 'f32'],
    ['smallest', 'write', 'f32'],
    ['allowance', 'write', 'u32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['capacity', 'u32'],
    ['keep', 'u32'],
  ],
  code: `${scan}${radix}
var<workgroup> least: array<f32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32) {
  if (li == 0u) { found = 0u; wanted = u.keep; }
  let total = u.rows * u.capacity;
  var positive = 0u;
  var low = 3.4e38;
  for (var e = li; e < total; e += 256u) {
    let v = values[e];
    if (v > 0.0) { positive++; low = min(low, v); }
  }
  least[li] = low;
  _ = exclusive(li, vec2<u32>(positive, 0u));
  let count = workgroupUniformLoad(&sums[255]).x;
  if (count > u.keep) {
    for (var shift = 32u; shift > 0u;) {
      shift -= 8u;
      atomicStore(&histogram[li], 0u);
      let prefix = workgroupUniformLoad(&found);
      for (var e = li; e < total; e += 256u) {
        let bits = bitcast<u32>(values[e]);
        if (values[e] > 0.0 && (shift == 24u || (bits >> (shift + 8u)) == prefix)) {
          atomicAdd(&histogram[(bits >> shift) & 255u], 1u);
        }
      }
      workgroupBarrier();
      if (li == 0u) { descend(); }
      workgroupBarrier();
    }
    if (li == 0u) { smallest[0] = bitcast<f32>(found); }
  } else if (li == 0u) {
    for (var i = 1u; i < 256u; i++) { low = min(low, least[i]); }
    smallest[0] = select(low, 0.0, count == 0u);
    wanted = 0xffffffffu; // all of them belong to the largest
    found = bitcast<u32>(smallest[0]);
  }
  let cut = bitcast<f32>(workgroupUniformLoad(&found));
  let ties = workgroupUniformLoad(&wanted);
  let per = (u.rows + 255u) / 256u;
  let begin = li * per;
  let to = min(u.rows, begin + per);
  var own = 0u;
  for (var e = begin * u.capacity; e < to * u.capacity; e++) { if (values[e] == cut && cut > 0.0) { own++; } }
  var before = exclusive(li, vec2<u32>(own, 0u)).x;
  for (var row = begin; row < to; row++) {
    allowance[row] = select(0u, ties - before, before < ties);
    for (var i = 0u; i < u.capacity; i++) {
      if (values[row * u.capacity + i] == cut && cut > 0.0) { before++; }
    }
  }
}`,
};

/** Cuts a row's list down to what the batch keeps. A row whose list was too short for that gets the count capacity + 1. */
export const keepOfBatch: Program = {
  key: 'msae-keep-of-batch',
  storage: [
    ['indices', 'write', 'i32'],
    ['values', 'write', 'f32'],
    ['counts', 'write', 'i32'],
    ['dropped', 'read', 'f32'],
    ['smallest', 'read', 'f32'],
    ['allowance', 'read', 'u32'],
  ],
  uniforms: [
    ['rows', 'u32'],
    ['capacity', 'u32'],
    ['n', 'u32'],
    ['spare', 'u32'],
  ],
  code: `
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.x;
  if (row >= u.rows) { return; }
  let cut = smallest[0];
  let o = row * u.capacity;
  var left = allowance[row];
  var count = 0u;
  for (var i = 0u; i < u32(counts[row]); i++) {
    let v = values[o + i];
    var take = v > cut;
    if (v == cut && v > 0.0 && left > 0u) { take = true; left--; }
    if (!take) { continue; }
    let latent = indices[o + i];
    values[o + count] = v;
    indices[o + count] = latent;
    count++;
  }
  for (var i = count; i < u.capacity; i++) {
    values[o + i] = 0.0;
    indices[o + i] = i32(u.n);
  }
  let cutShort = dropped[row] > cut;
  counts[row] = select(i32(count), i32(u.capacity) + 1, cutShort);
  if (cutShort) { values[o] = bitcast<f32>(0x7fc00000u | u.spare); }
}`,
};
