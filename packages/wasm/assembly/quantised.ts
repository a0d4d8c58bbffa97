// The encoder's forward at twice the rate, with float32 results.
//
// x and the columns of W_enc are rounded to 16-bit integers, so that one instruction multiplies and adds 8 pairs. With
// x = s_x (q + e), w = s_w (r + f), |e|, |f| ≤ ½ the rounded product is off by at most
//
//     |x·w − s_x s_w q·r| ≤ s_x s_w E,   E = ½ √d (‖q‖ + ‖r‖) + d/4        (Cauchy–Schwarz)
//
// Every pre-activation gets an interval; what cannot belong into a row's list by its upper end is dropped, and the few
// that are left (a row's k and some) are computed again in float32, in the order of the float32 path: the selection and the
// values are that path's, bit for bit. (0.51 + 0.0016 √d for ½ also covers the rounding of float32 sums.)
// ‖q‖ and ‖r‖ stay below 46,000, so that no partial sum leaves 32 bits.
import { MR, NR, transpose4 } from './gemm';
import { kthLargest } from './select';

const TILE: i32 = 64;
const NORM: f32 = 46000;
const LARGEST: f32 = 32767;
const MAGIC: f32 = 12582912; // 1.5 · 2^23: adding it leaves the rounded integer in the low bits
const KP: i32 = 1024;
const KC: i32 = 1024; // as in encode.ts: a float32 sum starts anew every KC terms

// Job: 4 rows of x − b_dec into [group][pair of k][4 rows][2] int16; a task is 64 rows. Also the rows' scales s_x and the
// bounds E, and, where b_dec is given, the rows x − b_dec themselves.
// args: 0 x, 1 rows, 2 d, 3 b_dec or 0, 4 out, 5 scales, 6 bounds, 7 centred out (with b_dec), 8 flags
export function quantiseX(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), rows = load<i32>(args, 4), d = load<i32>(args, 8), shift = load<usize>(args, 12);
  const out = load<usize>(args, 16), scales = load<usize>(args, 20), bounds = load<usize>(args, 24);
  const centred = load<usize>(args, 28), flags = load<usize>(args, 32);
  const pairs = (d + 1) >> 1;
  const root: f32 = sqrt<f32>(<f32>d);
  const last = min(rows, (task + 1) * 64);
  for (let i = task * 64; i < last; i += MR) {
    const group = out + ((<usize>i * <usize>pairs) << 2);
    memory.fill(group, 0, <usize>pairs << 4);
    for (let r = 0; r < MR && i + r < rows; r++) {
      const slot = <usize>(i + r) << 2;
      let p = x + ((<usize>(i + r) * <usize>d) << 2);
      if (shift != 0) {
        const c = centred + ((<usize>(i + r) * <usize>d) << 2);
        for (let k = 0; k < d; k++) {
          const o = <usize>k << 2;
          store<f32>(c + o, load<f32>(p + o) - load<f32>(shift + o));
        }
        p = c;
      }
      let square: f64 = 0, largest: f32 = 0;
      for (let k = 0; k < d; k++) {
        const v = load<f32>(p + (<usize>k << 2));
        square += <f64>v * <f64>v;
        largest = max(largest, abs(v));
      }
      const norm = <f32>sqrt(square);
      if (!(norm < f32.MAX_VALUE)) store<i32>(flags + slot, 2); // NaN or infinite
      let inverse: f32 = 0;
      if (norm > <f32>1e-30 && norm < f32.MAX_VALUE) inverse = min(NORM / norm, LARGEST / largest);
      store<f32>(scales + slot, inverse > 0 ? <f32>1 / inverse : 0);
      store<f32>(bounds + slot, (<f32>0.51 + <f32>0.0016 * root) * root * (norm * inverse + NORM + root) + <f32>0.27 * <f32>d + <f32>512);
      let q = group + (<usize>r << 2);
      for (let k = 0; k < d; k++) {
        const bits = reinterpret<i32>(load<f32>(p + (<usize>k << 2)) * inverse + MAGIC);
        store<i16>(q + ((k & 1) << 1), <i16>bits);
        if ((k & 1) == 1) q += 16;
      }
    }
  }
}

// Job: columns j0 … j0+nc of W_enc [d, n] into panels [panel][pair of k][8 columns][2] int16, with their scales.
// A task is 64 columns. args: 0 W_enc, 1 n, 2 d, 3 j0, 4 nc, 5 out, 6 scales [n], 7 flag for NaN or infinity
export function packQuantised(args: usize, task: i32, thread: i32): void {
  const W = load<usize>(args), n = load<i32>(args, 4), d = load<i32>(args, 8), j0 = load<i32>(args, 12);
  const nc = load<i32>(args, 16), out = load<usize>(args, 20), scales = load<usize>(args, 24), flag = load<usize>(args, 28);
  const pairs = (d + 1) >> 1;
  const panelBytes = <usize>pairs << 5;
  const last = min(nc, (task + 1) * 64);
  let j = task * 64;
  for (; j + 16 <= last; j += 16) {
    pack16(W + (<usize>(j0 + j) << 2), n, d, out + <usize>(j >> 3) * panelBytes, panelBytes, scales + (<usize>(j0 + j) << 2), flag);
  }
  for (; j < last; j++) {
    const w = W + (<usize>(j0 + j) << 2), step = <usize>n << 2;
    const slot = out + <usize>(j >> 3) * panelBytes + (<usize>(j & 7) << 2);
    let square: f32 = 0, largest: f32 = 0;
    let p = w;
    for (let k = 0; k < d; k++, p += step) {
      const v = load<f32>(p);
      square += v * v;
      largest = max(largest, abs(v));
    }
    const inverse = inverseScale(square, largest, flag);
    store<f32>(scales + (<usize>(j0 + j) << 2), inverse > 0 ? <f32>1 / inverse : 0);
    p = w;
    for (let k = 0; k < d; k++, p += step) {
      const bits = reinterpret<i32>(load<f32>(p) * inverse + MAGIC);
      store<i16>(slot + (<usize>(k >> 1) << 5) + ((k & 1) << 1), <i16>bits);
    }
    if ((d & 1) == 1) store<i16>(slot + (<usize>(d >> 1) << 5) + 2, 0);
  }
}

function inverseScale(square: f32, largest: f32, flag: usize): f32 {
  const norm = sqrt<f32>(square);
  if (!(norm < f32.MAX_VALUE)) {
    store<i32>(flag, 1);
    return 0;
  }
  return norm > <f32>1e-18 ? min(NORM / norm, LARGEST / largest) : 0;
}

// 16 columns: one cache line of every row of W_enc.
function pack16(w: usize, n: i32, d: i32, out: usize, panelBytes: usize, scales: usize, flag: usize): void {
  const step = <usize>n << 2;
  let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
  let m0 = f32x4.splat(0), m1 = f32x4.splat(0), m2 = f32x4.splat(0), m3 = f32x4.splat(0);
  let p = w;
  for (let k = 0; k < d; k++) {
    const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), e = v128.load(p, 48);
    s0 = f32x4.add(s0, f32x4.mul(a, a));
    s1 = f32x4.add(s1, f32x4.mul(b, b));
    s2 = f32x4.add(s2, f32x4.mul(c, c));
    s3 = f32x4.add(s3, f32x4.mul(e, e));
    m0 = f32x4.pmax(m0, f32x4.abs(a));
    m1 = f32x4.pmax(m1, f32x4.abs(b));
    m2 = f32x4.pmax(m2, f32x4.abs(c));
    m3 = f32x4.pmax(m3, f32x4.abs(e));
    p += step;
  }
  const i0 = inverse4(s0, m0, scales, flag), i1 = inverse4(s1, m1, scales + 16, flag);
  const i2 = inverse4(s2, m2, scales + 32, flag), i3 = inverse4(s3, m3, scales + 48, flag);
  const magic = f32x4.splat(MAGIC), low = i32x4.splat(0xffff);
  let q = out;
  p = w;
  for (let k = 0; k < d; k += 2) {
    const next = k + 1 < d ? p + step : p;
    const keep = k + 1 < d ? i32x4.splat(-1) : i32x4.splat(0);
    v128.store(q, pair(v128.load(p), v128.load(next), i0, magic, low, keep));
    v128.store(q, pair(v128.load(p, 16), v128.load(next, 16), i1, magic, low, keep), 16);
    v128.store(q + panelBytes, pair(v128.load(p, 32), v128.load(next, 32), i2, magic, low, keep));
    v128.store(q + panelBytes, pair(v128.load(p, 48), v128.load(next, 48), i3, magic, low, keep), 16);
    p += 2 * step;
    q += 32;
  }
}

function inverse4(square: v128, largest: v128, scales: usize, flag: usize): v128 {
  const a = inverseScale(f32x4.extract_lane(square, 0), f32x4.extract_lane(largest, 0), flag);
  const b = inverseScale(f32x4.extract_lane(square, 1), f32x4.extract_lane(largest, 1), flag);
  const c = inverseScale(f32x4.extract_lane(square, 2), f32x4.extract_lane(largest, 2), flag);
  const d = inverseScale(f32x4.extract_lane(square, 3), f32x4.extract_lane(largest, 3), flag);
  store<f32>(scales, a > 0 ? <f32>1 / a : 0);
  store<f32>(scales, b > 0 ? <f32>1 / b : 0, 4);
  store<f32>(scales, c > 0 ? <f32>1 / c : 0, 8);
  store<f32>(scales, d > 0 ? <f32>1 / d : 0, 12);
  return f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(a), 1, b), 2, c), 3, d);
}

// @ts-ignore: decorator
@inline
function pair(a: v128, b: v128, inverse: v128, magic: v128, low: v128, keep: v128): v128 {
  const first = v128.and(f32x4.add(f32x4.mul(a, inverse), magic), low);
  const second = v128.and(i32x4.shl(f32x4.add(f32x4.mul(b, inverse), magic), 16), keep);
  return v128.or(first, second);
}

// c[4][8] of int32 (row stride TILE) = or += a[4] b[8] over pairs of k.
// @ts-ignore: decorator
@inline
function microPairs(pa: usize, pb: usize, pairs: i32, c: usize, accumulate: bool): void {
  let c00 = i32x4.splat(0), c01 = i32x4.splat(0), c10 = i32x4.splat(0), c11 = i32x4.splat(0);
  let c20 = i32x4.splat(0), c21 = i32x4.splat(0), c30 = i32x4.splat(0), c31 = i32x4.splat(0);
  for (let k = pairs; k > 0; k--) {
    const b0 = v128.load(pb), b1 = v128.load(pb, 16);
    let a = v128.load32_splat(pa);
    c00 = i32x4.add(c00, i32x4.dot_i16x8_s(a, b0));
    c01 = i32x4.add(c01, i32x4.dot_i16x8_s(a, b1));
    a = v128.load32_splat(pa, 4);
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(a, b0));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(a, b1));
    a = v128.load32_splat(pa, 8);
    c20 = i32x4.add(c20, i32x4.dot_i16x8_s(a, b0));
    c21 = i32x4.add(c21, i32x4.dot_i16x8_s(a, b1));
    a = v128.load32_splat(pa, 12);
    c30 = i32x4.add(c30, i32x4.dot_i16x8_s(a, b0));
    c31 = i32x4.add(c31, i32x4.dot_i16x8_s(a, b1));
    pa += 16;
    pb += 32;
  }
  put(c, c00, c01, accumulate);
  put(c + TILE * 4, c10, c11, accumulate);
  put(c + 2 * TILE * 4, c20, c21, accumulate);
  put(c + 3 * TILE * 4, c30, c31, accumulate);
}

// @ts-ignore: decorator
@inline
function put(c: usize, left: v128, right: v128, accumulate: bool): void {
  if (accumulate) {
    left = i32x4.add(left, v128.load(c));
    right = i32x4.add(right, v128.load(c, 16));
  }
  v128.store(c, left);
  v128.store(c, right, 16);
}

// Job: a block of rows against one packed group; candidates are kept with the lower ends of their intervals.
// args: as encodeGroup's 0 … 18 (x and W quantised, 2: pairs of k), 19 row scales, 20 row bounds, 21 column scales
export function encodeQuantised(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), rows = load<i32>(args, 4), pairs = load<i32>(args, 8), w = load<usize>(args, 12);
  const j0 = load<i32>(args, 16), nc = load<i32>(args, 20), bias = load<usize>(args, 24), block = load<i32>(args, 28);
  const tile = load<usize>(args, 32) + <usize>thread * load<usize>(args, 36);
  const first = task * block, end = min(rows, first + block);
  for (let j = 0; j < nc; j += TILE) {
    const cols = min(TILE, nc - j);
    for (let k0 = 0; k0 < pairs; k0 += KP) {
      const count = min(KP, pairs - k0);
      for (let q = 0; q < cols; q += NR) {
        const panel = w + (<usize>(j + q) * <usize>pairs << 2) + (<usize>k0 << 5);
        let a = x + ((<usize>first * <usize>pairs) << 2) + (<usize>k0 << 4);
        let c = tile + (<usize>q << 2);
        for (let i = first; i < end; i += MR) {
          microPairs(a, panel, count, c, k0 > 0);
          a += <usize>pairs << 4;
          c += MR * TILE * 4;
        }
      }
    }
    for (let i = first; i < end; i++) {
      screenIntervals(args, tile + (<usize>(i - first) * TILE << 2), bias, i, j0 + j, cols, tile + (<usize>(block + MR) * TILE << 2));
    }
  }
}

function screenIntervals(args: usize, sums: usize, bias: usize, row: i32, j: i32, cols: i32, scratch: usize): void {
  const thresholds = load<usize>(args, 68);
  const rowSlot = <usize>row << 2;
  const cutAt = load<usize>(args, 52) + rowSlot;
  let cut = f32x4.splat(load<f32>(cutAt));
  const margin = f32x4.splat(load<f32>(args, 72));
  const scale = f32x4.splat(load<f32>(load<usize>(args, 76) + rowSlot));
  const bound = f32x4.splat(load<f32>(load<usize>(args, 80) + rowSlot));
  let s = load<usize>(args, 84) + (<usize>j << 2);
  let p = bias + (<usize>j << 2);
  let t = thresholds + (<usize>j << 2);
  const c4 = cols & ~3;
  let c = 0;
  for (; c < c4; c += 4) {
    const slack = f32x4.mul(scale, v128.load(s));
    const v = f32x4.add(f32x4.mul(f32x4.add(f32x4.convert_i32x4_s(v128.load(sums)), bound), slack), v128.load(p));
    const least = thresholds != 0 ? f32x4.sub(v128.load(t), margin) : cut;
    const outside = f32x4.le(v, least); // "not ≤" also catches NaN
    if (!i32x4.all_true(outside)) {
      v128.store(sums, v);
      takeIntervals(args, sums, row, j + c, 4, t, s, scratch);
      cut = f32x4.splat(load<f32>(cutAt));
    }
    sums += 16;
    s += 16;
    p += 16;
    t += 16;
  }
  if (c < cols) {
    const e = load<f32>(load<usize>(args, 80) + rowSlot), sx = load<f32>(load<usize>(args, 76) + rowSlot);
    for (let q = 0; q < cols - c; q++) {
      const o = <usize>q << 2;
      const v = (<f32>load<i32>(sums + o) + e) * (sx * load<f32>(s + o)) + load<f32>(p + o);
      store<f32>(sums + o, v);
    }
    takeIntervals(args, sums, row, j + c, cols - c, t, s, scratch);
  }
}

// `uppers`: the upper ends of the intervals of latents j … j+cols of a row
function takeIntervals(args: usize, uppers: usize, row: i32, j: i32, cols: i32, t: usize, s: usize, scratch: usize): void {
  const capacity = load<i32>(args, 60), k = load<i32>(args, 64);
  const byLatent = load<usize>(args, 68) != 0;
  const margin = load<f32>(args, 72);
  const rowSlot = <usize>row << 2;
  const base = <usize>row * <usize>capacity << 2;
  const indices = load<usize>(args, 40) + base, lowers = load<usize>(args, 44) + base;
  const countAt = load<usize>(args, 48) + rowSlot, cutAt = load<usize>(args, 52) + rowSlot;
  const flagAt = load<usize>(args, 56) + rowSlot;
  const width = <f32>2 * load<f32>(load<usize>(args, 80) + rowSlot) * load<f32>(load<usize>(args, 76) + rowSlot);
  let count = load<i32>(countAt);
  let cut = load<f32>(cutAt);
  for (let q = 0; q < cols; q++) {
    const o = <usize>q << 2;
    const upper = load<f32>(uppers + o);
    if (byLatent) cut = load<f32>(t + o) - margin;
    if (upper <= cut) continue;
    if (upper != upper) {
      store<i32>(flagAt, load<i32>(flagAt) | 2);
      continue;
    }
    if (count == capacity && k > 0) {
      cut = prune(indices, lowers, count, k, width, load<usize>(args, 84), cut, countAt, scratch);
      count = load<i32>(countAt);
      store<f32>(cutAt, cut);
      if (upper <= cut) continue;
      if (count == capacity) {
        store<i32>(flagAt, load<i32>(flagAt) | 4); // too many intervals overlap: this batch is encoded in float32
        continue;
      }
    }
    if (count < capacity) {
      store<i32>(indices + (<usize>count << 2), j + q);
      store<f32>(lowers + (<usize>count << 2), upper - width * load<f32>(s + o));
    }
    count++;
  }
  store<i32>(countAt, count);
}

// Drops the candidates whose upper end lies below the k-th largest lower end; returns that, but at least `cut`.
function prune(
  indices: usize, lowers: usize, n: i32, k: i32, width: f32, scales: usize, cut: f32, countAt: usize, scratch: usize,
): f32 {
  if (n > k) {
    memory.copy(scratch, lowers, <usize>n << 2);
    cut = max(cut, kthLargest(scratch, n, k));
  }
  let at = 0;
  for (let i = 0; i < n; i++) {
    const o = <usize>i << 2;
    const latent = load<i32>(indices + o);
    const lower = load<f32>(lowers + o);
    if (lower + width * load<f32>(scales + (<usize>latent << 2)) < cut) continue;
    store<i32>(indices + (<usize>at << 2), latent);
    store<f32>(lowers + (<usize>at << 2), lower);
    at++;
  }
  store<i32>(countAt, at);
  return cut;
}

// Job: the last pruning of every row before the refinement; a task is 64 rows.
// args: as encodeQuantised's (uses 1 and 8 … 21)
export function pruneLists(args: usize, task: i32, thread: i32): void {
  const rows = load<i32>(args, 4), capacity = load<i32>(args, 60), k = load<i32>(args, 64);
  const scratch = load<usize>(args, 32) + <usize>thread * load<usize>(args, 36);
  const last = min(rows, (task + 1) * 64);
  for (let row = task * 64; row < last; row++) {
    const rowSlot = <usize>row << 2;
    const base = <usize>row * <usize>capacity << 2;
    const countAt = load<usize>(args, 48) + rowSlot;
    const width = <f32>2 * load<f32>(load<usize>(args, 80) + rowSlot) * load<f32>(load<usize>(args, 76) + rowSlot);
    const cut = load<f32>(load<usize>(args, 52) + rowSlot);
    const indices = load<usize>(args, 40) + base, lowers = load<usize>(args, 44) + base;
    prune(indices, lowers, load<i32>(countAt), k, width, load<usize>(args, 84), cut, countAt, scratch);
  }
}

// Job: the candidates' pre-activations in float32; a task is 64 latents, whose columns are turned into rows first.
// args: 0 x (centred), 1 d, 2 n, 3 candidate capacity, 4 offsets, 5 entries, 6 candidate values, 7 W_enc, 8 b_enc, 9 scratch,
//       10 bytes a thread
export function refine(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), d = load<i32>(args, 4), n = load<i32>(args, 8), capacity = load<i32>(args, 12);
  const offsets = load<usize>(args, 16), entries = load<usize>(args, 20), values = load<usize>(args, 24);
  const W = load<usize>(args, 28), bias = load<usize>(args, 32);
  const columns = load<usize>(args, 36) + <usize>thread * load<usize>(args, 40);
  const first = task * TILE, end = min(n, first + TILE), wide = end - first;
  if (load<i32>(offsets + (<usize>end << 2)) == load<i32>(offsets + (<usize>first << 2))) return;
  const bytes = <usize>d << 2, step = <usize>n << 2;
  const d4 = d & ~3, c4 = wide & ~3;
  const from = W + (<usize>first << 2);
  for (let j = 0; j < d4; j += 4) {
    for (let c = 0; c < c4; c += 4) {
      transpose4(from + <usize>j * step + (<usize>c << 2), step, columns + <usize>c * bytes + (<usize>j << 2), bytes);
    }
  }
  for (let j = 0; j < d; j++) {
    for (let c = j < d4 ? c4 : 0; c < wide; c++) {
      store<f32>(columns + <usize>c * bytes + (<usize>j << 2), load<f32>(from + <usize>j * step + (<usize>c << 2)));
    }
  }
  const begin = load<i32>(offsets + (<usize>first << 2)), stop = load<i32>(offsets + (<usize>end << 2));
  const sums = columns + <usize>TILE * bytes; // 8 floats after the columns
  let k = first;
  for (let at = begin; at < stop; at += 8) {
    const x0 = rowOf(x, entries, at, stop, capacity, bytes), x1 = rowOf(x, entries, at + 1, stop, capacity, bytes);
    const x2 = rowOf(x, entries, at + 2, stop, capacity, bytes), x3 = rowOf(x, entries, at + 3, stop, capacity, bytes);
    const x4 = rowOf(x, entries, at + 4, stop, capacity, bytes), x5 = rowOf(x, entries, at + 5, stop, capacity, bytes);
    const x6 = rowOf(x, entries, at + 6, stop, capacity, bytes), x7 = rowOf(x, entries, at + 7, stop, capacity, bytes);
    const k0 = latentAt(offsets, k, at, stop), k1 = latentAt(offsets, k0, at + 1, stop);
    const k2 = latentAt(offsets, k1, at + 2, stop), k3 = latentAt(offsets, k2, at + 3, stop);
    const k4 = latentAt(offsets, k3, at + 4, stop), k5 = latentAt(offsets, k4, at + 5, stop);
    const k6 = latentAt(offsets, k5, at + 6, stop), k7 = latentAt(offsets, k6, at + 7, stop);
    const w0 = columns + <usize>(k0 - first) * bytes, w1 = columns + <usize>(k1 - first) * bytes;
    const w2 = columns + <usize>(k2 - first) * bytes, w3 = columns + <usize>(k3 - first) * bytes;
    const w4 = columns + <usize>(k4 - first) * bytes, w5 = columns + <usize>(k5 - first) * bytes;
    const w6 = columns + <usize>(k6 - first) * bytes, w7 = columns + <usize>(k7 - first) * bytes;
    let total0 = f32x4.splat(0), total1 = f32x4.splat(0);
    let o: usize = 0;
    for (let chunk = 0; chunk < d; chunk += KC) {
      const until = <usize>min(d, chunk + KC) << 2;
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
      for (; o + 16 <= until; o += 16) {
        s0 = addInOrder(s0, x0 + o, w0 + o, x1 + o, w1 + o, x2 + o, w2 + o, x3 + o, w3 + o);
        s1 = addInOrder(s1, x4 + o, w4 + o, x5 + o, w5 + o, x6 + o, w6 + o, x7 + o, w7 + o);
      }
      for (; o < until; o += 4) {
        s0 = f32x4.add(s0, products(x0 + o, w0 + o, x1 + o, w1 + o, x2 + o, w2 + o, x3 + o, w3 + o));
        s1 = f32x4.add(s1, products(x4 + o, w4 + o, x5 + o, w5 + o, x6 + o, w6 + o, x7 + o, w7 + o));
      }
      total0 = chunk > 0 ? f32x4.add(total0, s0) : s0;
      total1 = chunk > 0 ? f32x4.add(total1, s1) : s1;
    }
    v128.store(sums, total0);
    v128.store(sums, total1, 16);
    const count = min(8, stop - at);
    for (let i = 0; i < count; i++) {
      k = latentAt(offsets, k, at + i, stop);
      const e = <usize>load<i32>(entries + (<usize>(at + i) << 2)) << 2;
      store<f32>(values + e, load<f32>(sums + (<usize>i << 2)) + load<f32>(bias + (<usize>k << 2)));
    }
  }
}

// The row of x of the entry at a place in the list, or of the last one.
// @ts-ignore: decorator
@inline
function rowOf(x: usize, entries: usize, at: i32, stop: i32, capacity: i32, bytes: usize): usize {
  const e = load<i32>(entries + (<usize>min(at, stop - 1) << 2));
  return x + <usize>(e / capacity) * bytes;
}

// The latent whose entries include this place, looking from latent k on.
function latentAt(offsets: usize, k: i32, at: i32, stop: i32): i32 {
  const place = min(at, stop - 1);
  while (load<i32>(offsets + (<usize>k << 2), 4) <= place) k++;
  return k;
}

// Four dot products side by side, each adding its next four products one after the other: the order of micro4x8, so that
// a refined value has the very bits of the float32 path.
// @ts-ignore: decorator
@inline
function addInOrder(
  sum: v128, x0: usize, w0: usize, x1: usize, w1: usize, x2: usize, w2: usize, x3: usize, w3: usize,
): v128 {
  const a = f32x4.mul(v128.load(x0), v128.load(w0)), b = f32x4.mul(v128.load(x1), v128.load(w1));
  const c = f32x4.mul(v128.load(x2), v128.load(w2)), d = f32x4.mul(v128.load(x3), v128.load(w3));
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5), ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5), cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  sum = f32x4.add(sum, i64x2.shuffle(ab0, cd0, 0, 2));
  sum = f32x4.add(sum, i64x2.shuffle(ab0, cd0, 1, 3));
  sum = f32x4.add(sum, i64x2.shuffle(ab1, cd1, 0, 2));
  return f32x4.add(sum, i64x2.shuffle(ab1, cd1, 1, 3));
}

// @ts-ignore: decorator
@inline
function products(x0: usize, w0: usize, x1: usize, w1: usize, x2: usize, w2: usize, x3: usize, w3: usize): v128 {
  let p = f32x4.splat(load<f32>(x0) * load<f32>(w0));
  p = f32x4.replace_lane(p, 1, load<f32>(x1) * load<f32>(w1));
  p = f32x4.replace_lane(p, 2, load<f32>(x2) * load<f32>(w2));
  return f32x4.replace_lane(p, 3, load<f32>(x3) * load<f32>(w3));
}
