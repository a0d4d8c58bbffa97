// Selection: the k-th largest of a list, and cutting candidate lists down without disturbing their order.

// The k-th largest (k from 1) of n floats at v, which are reordered. No NaN. Hoare's FIND.
export function kthLargest(v: usize, n: i32, k: i32): f32 {
  const target = k - 1;
  let lo = 0, hi = n - 1;
  while (lo < hi) {
    const pivot = load<f32>(v + (<usize>((lo + hi) >> 1) << 2));
    let i = lo, j = hi;
    while (i <= j) {
      while (load<f32>(v + (<usize>i << 2)) > pivot) i++;
      while (load<f32>(v + (<usize>j << 2)) < pivot) j--;
      if (i <= j) {
        const t = load<f32>(v + (<usize>i << 2));
        store<f32>(v + (<usize>i << 2), load<f32>(v + (<usize>j << 2)));
        store<f32>(v + (<usize>j << 2), t);
        i++;
        j--;
      }
    }
    if (target <= j) hi = j;
    else if (target >= i) lo = i;
    else break;
  }
  return load<f32>(v + (<usize>target << 2));
}

// Keeps the k largest of the n candidates (ties: the first ones) in their order; returns the k-th largest value. With `mask`
// 0x7fffffff magnitudes are compared, with 0xffffffff values. `scratch` holds n floats.
export function keepLargest(indices: usize, values: usize, n: i32, k: i32, scratch: usize, mask: u32): f32 {
  for (let i = 0; i < n; i++) {
    const o = <usize>i << 2;
    store<u32>(scratch + o, load<u32>(values + o) & mask);
  }
  const cut = kthLargest(scratch, n, k);
  let above = 0;
  for (let i = 0; i < n; i++) above += i32(reinterpret<f32>(load<u32>(values + (<usize>i << 2)) & mask) > cut);
  let ties = k - above, at = 0;
  for (let i = 0; i < n; i++) {
    const v = load<f32>(values + (<usize>i << 2));
    const size = reinterpret<f32>(reinterpret<u32>(v) & mask);
    if (size > cut || (size == cut && ties-- > 0)) {
      store<f32>(values + (<usize>at << 2), v);
      store<i32>(indices + (<usize>at << 2), load<i32>(indices + (<usize>i << 2)));
      at++;
    }
  }
  return cut;
}

// Job (1 task): the `keep` largest values of all rows' lists stay (ties: row-major order), padding follows.
// args: 0 indices, 1 values, 2 counts, 3 rows, 4 capacity, 5 n, 6 keep, 7 dropped [rows] (1: the row was cut before),
//       8 scratch (2048 ints), 9 cutoff out
export function batchCut(args: usize, task: i32, thread: i32): void {
  const indices = load<usize>(args), values = load<usize>(args, 4), counts = load<usize>(args, 8);
  const rows = load<i32>(args, 12), capacity = load<i32>(args, 16), n = load<i32>(args, 20), keep = load<i32>(args, 24);
  const dropped = load<usize>(args, 28), histogram = load<usize>(args, 32), out = load<usize>(args, 36);
  // Positive floats order like their bits: three radix passes (11 + 11 + 10 bits) find the keep-th largest.
  let total = 0;
  for (let r = 0; r < rows; r++) total += load<i32>(counts + (<usize>r << 2));
  let cutBits: u32 = 0;
  let ties = i32.MAX_VALUE;
  if (total > keep) {
    let remaining = keep;
    for (let pass = 0; pass < 3; pass++) {
      const shift = pass == 0 ? 21 : pass == 1 ? 10 : 0;
      const width = pass == 2 ? 10 : 11;
      const fixedMask: u32 = pass == 0 ? 0 : pass == 1 ? 0xffe00000 : 0xfffffc00;
      memory.fill(histogram, 0, 8192);
      for (let r = 0; r < rows; r++) {
        const count = load<i32>(counts + (<usize>r << 2));
        let p = values + (<usize>r * <usize>capacity << 2);
        for (let i = 0; i < count; i++) {
          const bits = load<u32>(p);
          p += 4;
          if ((bits & fixedMask) != cutBits) continue;
          const slot = histogram + (<usize>((bits >> shift) & ((1 << width) - 1)) << 2);
          store<i32>(slot, load<i32>(slot) + 1);
        }
      }
      let bucket = (1 << width) - 1;
      for (; bucket > 0; bucket--) {
        const here = load<i32>(histogram + (<usize>bucket << 2));
        if (here >= remaining) break;
        remaining -= here;
      }
      cutBits |= <u32>bucket << shift;
    }
    ties = remaining;
  }
  const cut = reinterpret<f32>(cutBits);
  let smallest: f32 = cut;
  if (total <= keep) {
    smallest = total == 0 ? 0 : f32.MAX_VALUE;
  }
  for (let r = 0; r < rows; r++) {
    const base = <usize>r * <usize>capacity << 2;
    const before = load<i32>(counts + (<usize>r << 2));
    const least = before > 0 ? leastOf(values + base, before) : 0;
    let at = 0;
    for (let i = 0; i < before; i++) {
      const v = load<f32>(values + base + (<usize>i << 2));
      if (!(v > cut || (v == cut && ties-- > 0))) continue;
      if (v < smallest) smallest = v;
      store<f32>(values + base + (<usize>at << 2), v);
      store<i32>(indices + base + (<usize>at << 2), load<i32>(indices + base + (<usize>i << 2)));
      at++;
    }
    for (let i = at; i < before; i++) {
      store<f32>(values + base + (<usize>i << 2), 0);
      store<i32>(indices + base + (<usize>i << 2), n);
    }
    // a value that the row had to drop may be among the batch's largest: ask for more capacity
    const short = load<i32>(dropped + (<usize>r << 2)) != 0 && (least > cut || total < keep);
    store<i32>(counts + (<usize>r << 2), short ? capacity + 1 : at);
  }
  store<f32>(out, smallest);
}

function leastOf(values: usize, n: i32): f32 {
  let least = load<f32>(values);
  for (let i = 1; i < n; i++) least = min(least, load<f32>(values + (<usize>i << 2)));
  return least;
}
