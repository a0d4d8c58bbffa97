// Encode to active lists: pre = (x − b_dec) W_enc + b_enc in tiles of 64 latents, screened while they are in cache.
//
// Rows keep candidates in ascending order of latents. For top-k a list that is full is cut to its k largest and its
// smallest kept value becomes the row's threshold: from then on hardly any value passes the screen.
import { micro4x8, MR, NR, packRows } from './gemm';
import { keepLargest } from './select';

const TILE: i32 = 64;
const KC: i32 = 1024;

// Job: pack 4 rows of x − b_dec into [group][k][4]; a task is 16 groups.
// args: 0 x, 1 rows, 2 d, 3 b_dec or 0, 4 out
export function packX(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), rows = load<i32>(args, 4), d = load<i32>(args, 8), shift = load<usize>(args, 12);
  const out = load<usize>(args, 16);
  const last = min(rows, (task + 1) * 64);
  for (let i = task * 64; i < last; i += MR) {
    const p = out + (<usize>i * <usize>d << 2);
    packRows(x, d, 1, i, rows, 0, d, p);
    if (shift == 0) continue;
    for (let k = 0; k < d; k++) {
      const o = p + (<usize>k << 4);
      v128.store(o, f32x4.sub(v128.load(o), v128.load32_splat(shift + (<usize>k << 2))));
    }
  }
}

// Job: a block of rows against one packed group of latents j0 … j0+nc.
// args: 0 packedX, 1 rows, 2 d, 3 packedW, 4 j0, 5 nc, 6 b_enc, 7 block rows, 8 scratch, 9 scratch bytes a thread,
//       10 candidate indices, 11 candidate values, 12 candidate counts, 13 thresholds by row, 14 flags by row (1 cut, 2 NaN),
//       15 candidate capacity, 16 k (0: lists are never cut, counts go on), 17 thresholds by latent or 0, 18 margin,
//       19 what of a value is compared (a mask)
export function encodeGroup(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), rows = load<i32>(args, 4), d = load<i32>(args, 8), w = load<usize>(args, 12);
  const j0 = load<i32>(args, 16), nc = load<i32>(args, 20), bias = load<usize>(args, 24), block = load<i32>(args, 28);
  const tile = load<usize>(args, 32) + <usize>thread * load<usize>(args, 36);
  const first = task * block, end = min(rows, first + block);
  const groupBytes = <usize>d << 4;
  for (let j = 0; j < nc; j += TILE) {
    const cols = min(TILE, nc - j);
    for (let k0 = 0; k0 < d; k0 += KC) {
      const kc = min(KC, d - k0);
      for (let q = 0; q < cols; q += NR) {
        const panel = w + (<usize>(j + q) * <usize>d << 2) + (<usize>k0 << 5);
        let a = x + (<usize>first * <usize>d << 2) + (<usize>k0 << 4);
        let c = tile + (<usize>q << 2);
        for (let i = first; i < end; i += MR) {
          micro4x8(a, panel, kc, c, TILE, k0 > 0);
          a += groupBytes;
          c += MR * TILE * 4;
        }
      }
    }
    for (let i = first; i < end; i++) {
      screen(args, tile + (<usize>(i - first) * TILE << 2), bias, i, j0 + j, cols, tile + (<usize>(block + MR) * TILE << 2));
    }
  }
}

function screen(args: usize, values: usize, bias: usize, row: i32, j: i32, cols: i32, scratch: usize): void {
  const thresholds = load<usize>(args, 68);
  const rowSlot = <usize>row << 2;
  let cut = f32x4.splat(load<f32>(load<usize>(args, 52) + rowSlot));
  const margin = f32x4.splat(load<f32>(args, 72));
  const mask = i32x4.splat(load<i32>(args, 76));
  let p = bias + (<usize>j << 2);
  let t = thresholds + (<usize>j << 2);
  const c4 = cols & ~3;
  let c = 0;
  for (; c + 16 <= c4; c += 16) {
    const v0 = f32x4.add(v128.load(values), v128.load(p));
    const v1 = f32x4.add(v128.load(values, 16), v128.load(p, 16));
    const v2 = f32x4.add(v128.load(values, 32), v128.load(p, 32));
    const v3 = f32x4.add(v128.load(values, 48), v128.load(p, 48));
    let t0 = cut, t1 = cut, t2 = cut, t3 = cut;
    if (thresholds != 0) {
      t0 = f32x4.sub(v128.load(t), margin);
      t1 = f32x4.sub(v128.load(t, 16), margin);
      t2 = f32x4.sub(v128.load(t, 32), margin);
      t3 = f32x4.sub(v128.load(t, 48), margin);
    }
    // "not ≤" also catches NaN
    const outside = v128.and(
      v128.and(f32x4.le(v128.and(v0, mask), t0), f32x4.le(v128.and(v1, mask), t1)),
      v128.and(f32x4.le(v128.and(v2, mask), t2), f32x4.le(v128.and(v3, mask), t3)),
    );
    if (!i32x4.all_true(outside)) {
      v128.store(values, v0);
      v128.store(values, v1, 16);
      v128.store(values, v2, 32);
      v128.store(values, v3, 48);
      take(args, values, row, j + c, 16, t, scratch);
      cut = f32x4.splat(load<f32>(load<usize>(args, 52) + rowSlot));
    }
    values += 64;
    p += 64;
    t += 64;
  }
  if (c < cols) {
    for (let q = 0; q < cols - c; q++) {
      const o = <usize>q << 2;
      store<f32>(values + o, load<f32>(values + o) + load<f32>(p + o));
    }
    take(args, values, row, j + c, cols - c, t, scratch);
  }
}

function take(args: usize, values: usize, row: i32, j: i32, cols: i32, t: usize, scratch: usize): void {
  const capacity = load<i32>(args, 60), k = load<i32>(args, 64);
  const byLatent = load<usize>(args, 68) != 0;
  const margin = load<f32>(args, 72), mask = load<u32>(args, 76);
  const rowSlot = <usize>row << 2;
  const base = <usize>row * <usize>capacity << 2;
  const indices = load<usize>(args, 40) + base, kept = load<usize>(args, 44) + base;
  const countAt = load<usize>(args, 48) + rowSlot, cutAt = load<usize>(args, 52) + rowSlot;
  const flagAt = load<usize>(args, 56) + rowSlot;
  let count = load<i32>(countAt);
  let cut = load<f32>(cutAt);
  for (let q = 0; q < cols; q++) {
    const v = load<f32>(values + (<usize>q << 2));
    if (byLatent) cut = load<f32>(t + (<usize>q << 2)) - margin;
    const size = reinterpret<f32>(reinterpret<u32>(v) & mask);
    if (size <= cut) continue;
    if (v != v) {
      store<i32>(flagAt, load<i32>(flagAt) | 2);
      continue;
    }
    if (count == capacity && k > 0) {
      cut = keepLargest(indices, kept, count, k, scratch, mask);
      store<f32>(cutAt, cut);
      store<i32>(flagAt, load<i32>(flagAt) | 1);
      count = k;
      if (size <= cut) continue;
    }
    if (count < capacity) {
      store<i32>(indices + (<usize>count << 2), j + q);
      store<f32>(kept + (<usize>count << 2), v);
    }
    count++;
  }
  store<i32>(countAt, count);
}

// Job: candidates → lists of width C; a task is 64 rows.
// args: 0 candidate indices, 1 values, 2 counts, 3 candidate capacity, 4 rows, 5 k or 0, 6 n, 7 C, 8 out indices,
//       9 out values, 10 out counts, 11 flags, 12 scratch, 13 scratch bytes a thread, 14 thresholds by latent or 0, 15 out pre,
//       16 margin, 17 cutoff: candidates not above threshold − margin or the cutoff are dropped first,
//       18 what of a value is compared (a mask)
export function finishLists(args: usize, task: i32, thread: i32): void {
  const capacity = load<i32>(args, 12), rows = load<i32>(args, 16), k = load<i32>(args, 20), n = load<i32>(args, 24);
  const width = load<i32>(args, 28);
  const thresholds = load<usize>(args, 56), pre = load<usize>(args, 60);
  const scratch = load<usize>(args, 48) + <usize>thread * load<usize>(args, 52);
  const last = min(rows, (task + 1) * 64);
  for (let row = task * 64; row < last; row++) {
    const rowSlot = <usize>row << 2;
    const from = <usize>row * <usize>capacity << 2;
    const indices = load<usize>(args) + from, values = load<usize>(args, 4) + from;
    let count = load<i32>(load<usize>(args, 8) + rowSlot);
    const flagAt = load<usize>(args, 44) + rowSlot;
    if (count <= capacity) count = dropBelow(args, indices, values, count, flagAt);
    if (k > 0 && count > k) {
      keepLargest(indices, values, count, k, scratch, load<u32>(args, 72));
      store<i32>(flagAt, load<i32>(flagAt) | 1);
      count = k;
    }
    const to = <usize>row * <usize>width << 2;
    const outIndices = load<usize>(args, 32) + to, outValues = load<usize>(args, 36) + to;
    const listed = min(count, width);
    for (let i = 0; i < listed; i++) {
      const o = <usize>i << 2;
      const latent = load<i32>(indices + o);
      let v = load<f32>(values + o);
      store<i32>(outIndices + o, latent);
      if (thresholds != 0) {
        store<f32>(pre + to + o, v);
        if (!(reinterpret<f32>(reinterpret<u32>(v) & load<u32>(args, 72)) > load<f32>(thresholds + (<usize>latent << 2)))) v = 0;
      }
      store<f32>(outValues + o, v);
    }
    for (let i = listed; i < width; i++) {
      const o = <usize>i << 2;
      store<i32>(outIndices + o, n);
      store<f32>(outValues + o, 0);
      if (thresholds != 0) store<f32>(pre + to + o, 0);
    }
    if ((load<i32>(flagAt) & 2) != 0) {
      // a pre-activation was NaN: so shall the loss be
      if (count == 0) store<i32>(outIndices, 0);
      count = max(count, 1);
      store<f32>(outValues, f32.NaN);
      if (thresholds != 0) store<f32>(pre + to, f32.NaN);
    }
    store<i32>(load<usize>(args, 40) + rowSlot, count);
  }
}

function dropBelow(args: usize, indices: usize, values: usize, count: i32, flagAt: usize): i32 {
  const thresholds = load<usize>(args, 56), margin = load<f32>(args, 64), cutoff = load<f32>(args, 68), mask = load<u32>(args, 72);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const o = <usize>i << 2;
    const latent = load<i32>(indices + o);
    const v = load<f32>(values + o);
    if (v != v) store<i32>(flagAt, load<i32>(flagAt) | 2);
    const least: f32 = thresholds != 0 ? load<f32>(thresholds + (<usize>latent << 2)) - margin : cutoff;
    if (!(reinterpret<f32>(reinterpret<u32>(v) & mask) > least)) continue;
    store<i32>(indices + (<usize>at << 2), latent);
    store<f32>(values + (<usize>at << 2), v);
    at++;
  }
  return at;
}

// Job (1 task): the lists by latent, entries (slots of the lists) in row order: a counting sort.
// args: 0 indices, 1 counts, 2 rows, 3 C, 4 n, 5 offsets [n + 2], 6 entries
export function transposeLists(args: usize, task: i32, thread: i32): void {
  const indices = load<usize>(args), counts = load<usize>(args, 4), rows = load<i32>(args, 8), width = load<i32>(args, 12);
  const n = load<i32>(args, 16), offsets = load<usize>(args, 20), entries = load<usize>(args, 24);
  memory.fill(offsets, 0, <usize>(n + 2) << 2);
  for (let row = 0; row < rows; row++) {
    const count = min(width, load<i32>(counts + (<usize>row << 2)));
    let p = indices + (<usize>row * <usize>width << 2);
    for (let i = 0; i < count; i++) {
      const slot = offsets + (<usize>load<i32>(p) << 2);
      store<i32>(slot, load<i32>(slot, 8) + 1, 8);
      p += 4;
    }
  }
  let sum = 0;
  for (let k = 0; k < n; k++) {
    const slot = offsets + (<usize>(k + 2) << 2);
    sum += load<i32>(slot);
    store<i32>(slot, sum);
  }
  // offsets[k + 1] is now where latent k starts; filling moves it to where k + 1 starts
  for (let row = 0; row < rows; row++) {
    const count = min(width, load<i32>(counts + (<usize>row << 2)));
    let e = row * width;
    for (let i = 0; i < count; i++, e++) {
      const slot = offsets + (<usize>load<i32>(indices + (<usize>e << 2)) << 2);
      const at = load<i32>(slot, 4);
      store<i32>(entries + (<usize>at << 2), e);
      store<i32>(slot, at + 1, 4);
    }
  }
}
