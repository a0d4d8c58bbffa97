/** WGSL of batchtopk: the batch's cutoff, and the lists cut down to it. */
import type { Program } from './program.ts';
import { radix, scan } from './selectCode.ts';

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
