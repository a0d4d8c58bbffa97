// The weighted loss of all prefixes and its gradients, a slice of 128 columns of d at a time.
//
//   r_0 = b_dec − x,  r_i = r_{i−1} + f_i d_i,  Ω_i = C(k_{i+1}) − C(k_i),  S_i = Σ_{j≥i} Ω_j r_j
//
// A task owns its columns of dW_dec and db_dec and walks all rows in order: no atomics, and sums that do not depend on the
// number of threads. What needs whole rows (S_i·d_i, the loss) leaves one partial sum for each slice.

const SLICE: i32 = 128;
const ROW: usize = SLICE * 4;

// args: 0 x, 1 W_dec, 2 b_dec, 3 indices, 4 values, 5 counts, 6 cumulative, 7 decoder cumulative or 0, 8 rows, 9 C, 10 d,
//       11 n, 12 dW_dec, 13 db_dec, 14 dot partials [slices][rows·C], 15 report partials (f64 [slices][2 + R]),
//       16 report lengths, 17 R, 18 scratch, 19 scratch bytes a thread, 20 residual out or 0
export function decodeSlice(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), W = load<usize>(args, 4), b = load<usize>(args, 8);
  const indices = load<usize>(args, 12), values = load<usize>(args, 16), counts = load<usize>(args, 20);
  const C = load<usize>(args, 24), V = load<usize>(args, 28);
  const rows = load<i32>(args, 32), width = load<i32>(args, 36), d = load<i32>(args, 40), n = load<i32>(args, 44);
  const dW = load<usize>(args, 48), db = load<usize>(args, 52);
  const dots = load<usize>(args, 56) + (<usize>task * <usize>rows * <usize>width << 2);
  const R = load<i32>(args, 68);
  const report = load<usize>(args, 60) + (<usize>task * <usize>(2 + R) << 3);
  const lengths = load<usize>(args, 64);
  const scratch = load<usize>(args, 72) + <usize>thread * load<usize>(args, 76);
  const residualOut = load<usize>(args, 80);

  const column = task * SLICE;
  const bytes = <usize>min(SLICE, d - column) << 2;
  const vec = bytes & ~15;
  const at = <usize>column << 2;
  const stride = <usize>d << 2;
  const S = scratch, T = V != 0 ? scratch + ROW : scratch;
  const squares = scratch + 2 * ROW;
  const residuals = squares + ((<usize>(width + 1) << 2) + 15 & ~15);
  const scale: f32 = <f32>2 / <f32>rows;
  const all = load<f32>(C + (<usize>n << 2));
  const allV: f32 = V != 0 ? load<f32>(V + (<usize>n << 2)) : 0;
  let loss: f64 = 0;
  let touched = 0;
  memory.fill(report, 0, <usize>(2 + R) << 3);
  memory.fill(db + at, 0, bytes);

  for (let row = 0; row < rows; row++) {
    const xr = x + <usize>row * stride + at;
    const base = <usize>row * <usize>width << 2;
    const count = min(width, load<i32>(counts + (<usize>row << 2)));
    for (let o: usize = 0; o < vec; o += 16) {
      v128.store(residuals + o, f32x4.sub(v128.load(b + at + o), v128.load(xr + o)));
    }
    for (let o = vec; o < bytes; o += 4) store<f32>(residuals + o, load<f32>(b + at + o) - load<f32>(xr + o));

    let before: f32 = 0;
    let cur = residuals;
    for (let i = 0; i <= count; i++) {
      // Every list entry is a few cache lines somewhere in W_dec and dW_dec: ask for those of 32 entries at once.
      if ((i & 31) == 0) touched |= touch(indices + base, i, min(count, i + 32), W + at, stride, bytes);
      const slot = base + (<usize>i << 2);
      let sum0 = f32x4.splat(0), sum1 = f32x4.splat(0);
      let tail: f32 = 0;
      let upTo = all;
      if (i < count) {
        const latent = <usize>load<i32>(indices + slot);
        upTo = load<f32>(C + (latent << 2));
        const f = load<f32>(values + slot);
        const F = f32x4.splat(f);
        const w = W + latent * stride + at;
        const next = cur + ROW;
        let o: usize = 0;
        for (; o + 32 <= vec; o += 32) {
          const r0 = v128.load(cur + o), r1 = v128.load(cur + o, 16);
          sum0 = f32x4.add(sum0, f32x4.mul(r0, r0));
          sum1 = f32x4.add(sum1, f32x4.mul(r1, r1));
          v128.store(next + o, f32x4.add(r0, f32x4.mul(F, v128.load(w + o))));
          v128.store(next + o, f32x4.add(r1, f32x4.mul(F, v128.load(w + o, 16))), 16);
        }
        for (; o < vec; o += 16) {
          const r = v128.load(cur + o);
          sum0 = f32x4.add(sum0, f32x4.mul(r, r));
          v128.store(next + o, f32x4.add(r, f32x4.mul(F, v128.load(w + o))));
        }
        for (; o < bytes; o += 4) {
          const r = load<f32>(cur + o);
          tail += r * r;
          store<f32>(next + o, r + f * load<f32>(w + o));
        }
      } else {
        let o: usize = 0;
        for (; o < vec; o += 16) {
          const r = v128.load(cur + o);
          sum0 = f32x4.add(sum0, f32x4.mul(r, r));
        }
        for (; o < bytes; o += 4) {
          const r = load<f32>(cur + o);
          tail += r * r;
        }
      }
      const squared = horizontal(f32x4.add(sum0, sum1)) + tail;
      store<f32>(squares + (<usize>i << 2), squared);
      loss += <f64>(upTo - before) * <f64>squared;
      before = upTo;
      cur += ROW;
    }
    for (let q = 0, i = 0; q < R; q++) {
      const p = load<i32>(lengths + (<usize>q << 2));
      while (i < count && load<i32>(indices + base + (<usize>i << 2)) < p) i++;
      const o = report + (<usize>(2 + q) << 3);
      store<f64>(o, load<f64>(o) + <f64>load<f32>(squares + (<usize>i << 2)));
    }

    cur = residuals + <usize>count * ROW;
    if (residualOut != 0) {
      const out = residualOut + <usize>row * stride + at;
      for (let o: usize = 0; o < bytes; o += 4) store<f32>(out + o, -load<f32>(cur + o));
    }
    memory.fill(S, 0, 2 * ROW);
    let above = all, aboveV = allV;
    for (let i = count; i > 0; i--) {
      if (((count - i) & 31) == 0) {
        const from = max(0, i - 32);
        if (i < count) touched |= touch(indices + base, from, i, W + at, stride, bytes);
        touched |= touch(indices + base, from, i, dW + at, stride, bytes);
      }
      const slot = base + (<usize>(i - 1) << 2);
      const latent = <usize>load<i32>(indices + slot);
      const from = load<f32>(C + (latent << 2));
      const omega = (above - from) * scale;
      above = from;
      const O = f32x4.splat(omega);
      const f = load<f32>(values + slot);
      const F = f32x4.splat(f);
      const w = W + latent * stride + at, g = dW + latent * stride + at;
      let dot0 = f32x4.splat(0), dot1 = f32x4.splat(0);
      let dot: f32 = 0;
      let o: usize = 0;
      if (V == 0) {
        for (; o + 32 <= vec; o += 32) {
          const s0 = f32x4.add(v128.load(S + o), f32x4.mul(O, v128.load(cur + o)));
          const s1 = f32x4.add(v128.load(S + o, 16), f32x4.mul(O, v128.load(cur + o, 16)));
          v128.store(S + o, s0);
          v128.store(S + o, s1, 16);
          dot0 = f32x4.add(dot0, f32x4.mul(s0, v128.load(w + o)));
          dot1 = f32x4.add(dot1, f32x4.mul(s1, v128.load(w + o, 16)));
          v128.store(g + o, f32x4.add(v128.load(g + o), f32x4.mul(F, s0)));
          v128.store(g + o, f32x4.add(v128.load(g + o, 16), f32x4.mul(F, s1)), 16);
        }
        for (; o < vec; o += 16) {
          const s = f32x4.add(v128.load(S + o), f32x4.mul(O, v128.load(cur + o)));
          v128.store(S + o, s);
          dot0 = f32x4.add(dot0, f32x4.mul(s, v128.load(w + o)));
          v128.store(g + o, f32x4.add(v128.load(g + o), f32x4.mul(F, s)));
        }
        for (; o < bytes; o += 4) {
          const s = load<f32>(S + o) + omega * load<f32>(cur + o);
          store<f32>(S + o, s);
          dot += s * load<f32>(w + o);
          store<f32>(g + o, load<f32>(g + o) + f * s);
        }
      } else {
        const fromV = load<f32>(V + (latent << 2));
        const omegaV = (aboveV - fromV) * scale;
        aboveV = fromV;
        const OV = f32x4.splat(omegaV);
        for (; o < vec; o += 16) {
          const r = v128.load(cur + o);
          const s = f32x4.add(v128.load(S + o), f32x4.mul(O, r));
          const t = f32x4.add(v128.load(T + o), f32x4.mul(OV, r));
          v128.store(S + o, s);
          v128.store(T + o, t);
          dot0 = f32x4.add(dot0, f32x4.mul(s, v128.load(w + o)));
          v128.store(g + o, f32x4.add(v128.load(g + o), f32x4.mul(F, t)));
        }
        for (; o < bytes; o += 4) {
          const r = load<f32>(cur + o);
          const s = load<f32>(S + o) + omega * r;
          const t = load<f32>(T + o) + omegaV * r;
          store<f32>(S + o, s);
          store<f32>(T + o, t);
          dot += s * load<f32>(w + o);
          store<f32>(g + o, load<f32>(g + o) + f * t);
        }
      }
      store<f32>(dots + slot, horizontal(f32x4.add(dot0, dot1)) + dot);
      cur -= ROW;
    }
    const omega = (V != 0 ? aboveV : above) * scale;
    const out = db + at;
    for (let o: usize = 0; o < bytes; o += 4) {
      store<f32>(out + o, load<f32>(out + o) + load<f32>(T + o) + omega * load<f32>(cur + o));
    }
  }
  store<i32>(scratch, touched); // so that the loads are not optimised away
  store<f64>(report, loss);
  store<f64>(report, variance(x + at, rows, stride, bytes, scratch), 8);
}

function touch(indices: usize, from: i32, to: i32, matrix: usize, stride: usize, bytes: usize): i32 {
  let any = 0;
  for (let i = from; i < to; i++) {
    const p = matrix + <usize>load<i32>(indices + (<usize>i << 2)) * stride;
    for (let o: usize = 0; o < bytes; o += 64) any |= load<i32>(p + o);
    any |= load<i32>(p + bytes - 4);
  }
  return any;
}

// Σ (x − x̄)² of a slice of columns; `mean` holds a slice of floats.
function variance(x: usize, rows: i32, stride: usize, bytes: usize, mean: usize): f64 {
  memory.fill(mean, 0, bytes);
  for (let row = 0; row < rows; row++) {
    const p = x + <usize>row * stride;
    for (let o: usize = 0; o < bytes; o += 4) store<f32>(mean + o, load<f32>(mean + o) + load<f32>(p + o));
  }
  for (let o: usize = 0; o < bytes; o += 4) store<f32>(mean + o, load<f32>(mean + o) / <f32>rows);
  let sum: f64 = 0;
  for (let row = 0; row < rows; row++) {
    const p = x + <usize>row * stride;
    let part: f32 = 0;
    for (let o: usize = 0; o < bytes; o += 4) {
      const v = load<f32>(p + o) - load<f32>(mean + o);
      part += v * v;
    }
    sum += <f64>part;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
export function horizontal(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

// Job: x̂ = b_dec + Σ f_i d_i; a task is 16 rows.
// args: 0 W_dec, 1 b_dec, 2 indices, 3 values, 4 counts, 5 rows, 6 C, 7 d, 8 out
export function decodeRows(args: usize, task: i32, thread: i32): void {
  const W = load<usize>(args), b = load<usize>(args, 4), indices = load<usize>(args, 8), values = load<usize>(args, 12);
  const counts = load<usize>(args, 16), rows = load<i32>(args, 20), width = load<i32>(args, 24), d = load<i32>(args, 28);
  const bytes = <usize>d << 2, vec = bytes & ~15;
  const last = min(rows, (task + 1) * 16);
  for (let row = task * 16; row < last; row++) {
    const out = load<usize>(args, 32) + <usize>row * bytes;
    memory.copy(out, b, bytes);
    const count = min(width, load<i32>(counts + (<usize>row << 2)));
    for (let i = 0; i < count; i++) {
      const slot = (<usize>row * <usize>width + <usize>i) << 2;
      const f = load<f32>(values + slot);
      axpy(out, W + <usize>load<i32>(indices + slot) * bytes, f, vec, bytes);
    }
  }
}

// out += f · v; `vec` of the `bytes` bytes by vectors
// @ts-ignore: decorator
@inline
export function axpy(out: usize, v: usize, f: f32, vec: usize, bytes: usize): void {
  const F = f32x4.splat(f);
  let o: usize = 0;
  for (; o + 32 <= vec; o += 32) {
    v128.store(out + o, f32x4.add(v128.load(out + o), f32x4.mul(F, v128.load(v + o))));
    v128.store(out + o, f32x4.add(v128.load(out + o, 16), f32x4.mul(F, v128.load(v + o, 16))), 16);
  }
  for (; o < vec; o += 16) v128.store(out + o, f32x4.add(v128.load(out + o), f32x4.mul(F, v128.load(v + o))));
  for (; o < bytes; o += 4) store<f32>(out + o, load<f32>(out + o) + f * load<f32>(v + o));
}

// Job: zeros; a task is 1 MiB. args: 0 pointer, 1 bytes
export function zero(args: usize, task: i32, thread: i32): void {
  const from = <usize>task << 20;
  memory.fill(load<usize>(args) + from, 0, min(<usize>1 << 20, load<usize>(args, 4) - from));
}
