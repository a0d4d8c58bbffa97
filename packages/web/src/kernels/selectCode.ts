/** WGSL that the selections share: what is compared, prefix sums over a workgroup, and one digit of a radix select. */

/**
 * A score as an integer that sorts as the score does: 0 for what can never be kept (a score that is not above 0), above every
 * number for a NaN, which is thereby kept and shows in the loss. Needs the uniform `magnitude`: 1 compares |v|.
 */
export const score: string = `
fn isNaN(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u; }
fn scoreKey(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  let size = bits & 0x7fffffffu;
  if (u.magnitude == 1u || size > 0x7f800000u) { return size; }
  return select(0u, size, bits < 0x80000000u);
}`;

export const scan: string = `
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

export const radix: string = `
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
