/** WGSL of a sum over a workgroup's threads, in a fixed order. */

/** `total(li, own)` gives every thread the sum of all; `threads` is the workgroup's size, a power of two. */
export const treeSum = (threads: number, type: string): string => `
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
