// Packed, register-blocked float32 matrix product: C = A B (+ bias), or C += A B.
//
// B is packed into panels of NR = 8 columns, [panel][k][8]; A into groups of MR = 4 rows, [group][k][4]; both padded
// with zeros, so the micro-kernel knows no edges. A task is a block of rows.

export const MR: i32 = 4;
export const NR: i32 = 8;

// c[4][8] (row stride ldc floats) = or += a[4] b[8] over kc steps. Not unrolled, and with the product first in each addition:
// either way V8 runs out of registers, which costs a third of the speed.
export function micro4x8(pa: usize, pb: usize, kc: i32, c: usize, ldc: i32, accumulate: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  for (let k = 0; k < kc; k++) {
    const b0 = v128.load(pb), b1 = v128.load(pb, 16);
    const a0 = v128.load32_splat(pa, 0);
    c00 = f32x4.add(f32x4.mul(a0, b0), c00);
    c01 = f32x4.add(f32x4.mul(a0, b1), c01);
    const a1 = v128.load32_splat(pa, 4);
    c10 = f32x4.add(f32x4.mul(a1, b0), c10);
    c11 = f32x4.add(f32x4.mul(a1, b1), c11);
    const a2 = v128.load32_splat(pa, 8);
    c20 = f32x4.add(f32x4.mul(a2, b0), c20);
    c21 = f32x4.add(f32x4.mul(a2, b1), c21);
    const a3 = v128.load32_splat(pa, 12);
    c30 = f32x4.add(f32x4.mul(a3, b0), c30);
    c31 = f32x4.add(f32x4.mul(a3, b1), c31);
    pa += 16;
    pb += 32;
  }
  const s = <usize>ldc << 2;
  if (accumulate) {
    v128.store(c, f32x4.add(v128.load(c), c00));
    v128.store(c, f32x4.add(v128.load(c, 16), c01), 16);
    c += s;
    v128.store(c, f32x4.add(v128.load(c), c10));
    v128.store(c, f32x4.add(v128.load(c, 16), c11), 16);
    c += s;
    v128.store(c, f32x4.add(v128.load(c), c20));
    v128.store(c, f32x4.add(v128.load(c, 16), c21), 16);
    c += s;
    v128.store(c, f32x4.add(v128.load(c), c30));
    v128.store(c, f32x4.add(v128.load(c, 16), c31), 16);
  } else {
    v128.store(c, c00);
    v128.store(c, c01, 16);
    c += s;
    v128.store(c, c10);
    v128.store(c, c11, 16);
    c += s;
    v128.store(c, c20);
    v128.store(c, c21, 16);
    c += s;
    v128.store(c, c30);
    v128.store(c, c31, 16);
  }
}

// One panel of 8 columns of B (element (k, j) at b + (k·rs + j·cs)·4), rows k0 … k0+kc, columns j0 … j0+8 of n.
export function packPanel(b: usize, rs: i32, cs: i32, k0: i32, kc: i32, j0: i32, n: i32, out: usize): void {
  const cols = min(NR, n - j0);
  if (cs == 1 && cols == NR) {
    let p = b + ((<usize>k0 * <usize>rs + <usize>j0) << 2);
    const step = <usize>rs << 2;
    for (let k = 0; k < kc; k++) {
      v128.store(out, v128.load(p));
      v128.store(out, v128.load(p, 16), 16);
      p += step;
      out += 32;
    }
    return;
  }
  if (rs == 1 && cols == NR) {
    // a transposed operand: 8 rows of 4 values in, 4 rows of 8 out
    const step = <usize>cs << 2;
    let p = b + ((<usize>j0 * <usize>cs + <usize>k0) << 2);
    let k = 0;
    for (; k + 4 <= kc; k += 4) {
      transpose4(p, step, out, 32);
      transpose4(p + 4 * step, step, out + 16, 32);
      p += 16;
      out += 128;
    }
    for (; k < kc; k++) {
      for (let j = 0; j < NR; j++) store<f32>(out + (<usize>j << 2), load<f32>(p + <usize>j * step));
      p += 4;
      out += 32;
    }
    return;
  }
  for (let k = 0; k < kc; k++) {
    for (let j = 0; j < NR; j++) {
      const v: f32 = j < cols ? load<f32>(b + ((<usize>(k0 + k) * <usize>rs + <usize>(j0 + j) * <usize>cs) << 2)) : 0;
      store<f32>(out + (<usize>j << 2), v);
    }
    out += 32;
  }
}

// out[j][i] = in[i][j] of a 4 × 4 block; strides in bytes
// @ts-ignore: decorator
@inline
export function transpose4(p: usize, step: usize, out: usize, outStep: usize): void {
  const a = v128.load(p), b = v128.load(p + step), c = v128.load(p + 2 * step), d = v128.load(p + 3 * step);
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5), ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5), cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  v128.store(out, i64x2.shuffle(ab0, cd0, 0, 2));
  v128.store(out + outStep, i64x2.shuffle(ab0, cd0, 1, 3));
  v128.store(out + 2 * outStep, i64x2.shuffle(ab1, cd1, 0, 2));
  v128.store(out + 3 * outStep, i64x2.shuffle(ab1, cd1, 1, 3));
}

// 4 rows of A (element (i, k) at a + (i·rs + k·cs)·4) from row i0 of m, columns k0 … k0+kc, into [k][4].
export function packRows(a: usize, rs: i32, cs: i32, i0: i32, m: i32, k0: i32, kc: i32, out: usize): void {
  const rows = min(MR, m - i0);
  if (rows == MR && cs == 1) {
    let p = a + ((<usize>i0 * <usize>rs + <usize>k0) << 2);
    const step = <usize>rs << 2;
    let k = 0;
    for (; k + 4 <= kc; k += 4) {
      transpose4(p, step, out, 16);
      p += 16;
      out += 64;
    }
    for (; k < kc; k++) {
      for (let i = 0; i < MR; i++) store<f32>(out + (<usize>i << 2), load<f32>(p + <usize>i * step));
      p += 4;
      out += 16;
    }
    return;
  }
  if (rows == MR && rs == 1) {
    let p = a + ((<usize>k0 * <usize>cs + <usize>i0) << 2);
    const step = <usize>cs << 2;
    for (let k = 0; k < kc; k++) {
      v128.store(out, v128.load(p));
      p += step;
      out += 16;
    }
    return;
  }
  for (let k = 0; k < kc; k++) {
    for (let i = 0; i < MR; i++) {
      const v: f32 = i < rows ? load<f32>(a + ((<usize>(i0 + i) * <usize>rs + <usize>(k0 + k) * <usize>cs) << 2)) : 0;
      store<f32>(out + (<usize>i << 2), v);
    }
    out += 16;
  }
}

// Job: pack columns j0 … j0+nc of B, rows k0 … k0+kc. A task is 8 panels.
// args: 0 b, 1 rs, 2 cs, 3 n, 4 k0, 5 kc, 6 j0, 7 nc, 8 out
export function packB(args: usize, task: i32, thread: i32): void {
  const b = load<usize>(args), rs = load<i32>(args, 4), cs = load<i32>(args, 8), n = load<i32>(args, 12);
  const k0 = load<i32>(args, 16), kc = load<i32>(args, 20), j0 = load<i32>(args, 24), nc = load<i32>(args, 28);
  const out = load<usize>(args, 32);
  const panels = (nc + NR - 1) / NR;
  const last = min(panels, (task + 1) * 8);
  for (let p = task * 8; p < last; p++) {
    packPanel(b, rs, cs, k0, kc, j0 + p * NR, n, out + (<usize>p * <usize>kc * <usize>NR << 2));
  }
}

// Job: rows task·mc … of C[:, j0 … j0+nc] = or += A[:, k0 … k0+kc] · packed B (+ bias, then relu, when told to finish).
// args: 0 a, 1 rs, 2 cs, 3 m, 4 k0, 5 kc, 6 j0, 7 nc, 8 packedB, 9 c, 10 ldc, 11 accumulate, 12 mc, 13 scratch base,
//       14 scratch bytes a thread, 15 bias or 0, 16 relu
export function gemm(args: usize, task: i32, thread: i32): void {
  const a = load<usize>(args), rs = load<i32>(args, 4), cs = load<i32>(args, 8), m = load<i32>(args, 12);
  const k0 = load<i32>(args, 16), kc = load<i32>(args, 20), j0 = load<i32>(args, 24), nc = load<i32>(args, 28);
  const packed = load<usize>(args, 32), c = load<usize>(args, 36), ldc = load<i32>(args, 40);
  const accumulate = load<i32>(args, 44) != 0, mc = load<i32>(args, 48);
  const scratch = load<usize>(args, 52) + <usize>thread * load<usize>(args, 56);
  const bias = load<usize>(args, 60), relu = load<i32>(args, 64) != 0;
  const first = task * mc, end = min(m, first + mc);
  const edge = scratch;
  const rowsPacked = scratch + 256;
  const group = <usize>kc << 4;
  let at = rowsPacked;
  for (let i = first; i < end; i += MR) {
    packRows(a, rs, cs, i, m, k0, kc, at);
    at += group;
  }
  for (let j = 0; j < nc; j += NR) {
    const panel = packed + (<usize>j * <usize>kc << 2);
    const cols = min(NR, nc - j);
    at = rowsPacked;
    for (let i = first; i < end; i += MR) {
      const rows = min(MR, end - i);
      const out = c + ((<usize>i * <usize>ldc + <usize>(j0 + j)) << 2);
      if (rows == MR && cols == NR) micro4x8(at, panel, kc, out, ldc, accumulate);
      else {
        micro4x8(at, panel, kc, edge, NR, false);
        for (let r = 0; r < rows; r++) {
          for (let q = 0; q < cols; q++) {
            const o = out + ((<usize>r * <usize>ldc + <usize>q) << 2);
            const v = load<f32>(edge + (<usize>(r * NR + q) << 2));
            store<f32>(o, accumulate ? load<f32>(o) + v : v);
          }
        }
      }
      at += group;
    }
  }
  if (bias == 0 && !relu) return;
  for (let i = first; i < end; i++) {
    let o = c + ((<usize>i * <usize>ldc + <usize>j0) << 2);
    let p = bias + (<usize>j0 << 2);
    for (let j = 0; j < nc; j++) {
      let v = load<f32>(o);
      if (bias != 0) v += load<f32>(p);
      if (relu && !(v > 0)) v = v != v ? v : 0;
      store<f32>(o, v);
      o += 4;
      p += 4;
    }
  }
}

// Job: out[j][i] = in[i][j]; a task is 32 rows of the input.
// args: 0 in, 1 rows, 2 cols, 3 out
export function transpose(args: usize, task: i32, thread: i32): void {
  const src = load<usize>(args), rows = load<i32>(args, 4), cols = load<i32>(args, 8), dst = load<usize>(args, 12);
  const i0 = task * 32, i1 = min(rows, i0 + 32);
  const i4 = i0 + ((i1 - i0) & ~3), c4 = cols & ~3;
  const inStep = <usize>cols << 2, outStep = <usize>rows << 2;
  for (let j0 = 0; j0 < c4; j0 += 32) {
    const j1 = min(c4, j0 + 32);
    for (let j = j0; j < j1; j += 4) {
      for (let i = i0; i < i4; i += 4) {
        transpose4(src + <usize>i * inStep + (<usize>j << 2), inStep, dst + <usize>j * outStep + (<usize>i << 2), outStep);
      }
    }
  }
  for (let i = i0; i < i1; i++) {
    for (let j = i < i4 ? c4 : 0; j < cols; j++) {
      store<f32>(dst + <usize>j * outStep + (<usize>i << 2), load<f32>(src + <usize>i * inStep + (<usize>j << 2)));
    }
  }
}
