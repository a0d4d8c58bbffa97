// After the slices: dValues from their partial sums, the penalty, and what the penalty adds to dW_dec.
import { axpy, horizontal } from './decode';
import { exp, ln } from './elementary';

// Penalty kinds, as in src/kernels/prefixLoss.ts
const L1: i32 = 1, LOG: i32 = 2, SQRT: i32 = 3, TANH: i32 = 4;

// Job: ‖d_i‖ of every latent in a list, 0 of the others; a task is 256 latents.
// args: 0 W_dec, 1 n, 2 d, 3 offsets, 4 norms
export function latentNorms(args: usize, task: i32, thread: i32): void {
  const W = load<usize>(args), n = load<i32>(args, 4), d = load<i32>(args, 8), offsets = load<usize>(args, 12);
  const norms = load<usize>(args, 16);
  const bytes = <usize>d << 2, vec = bytes & ~15;
  const last = min(n, (task + 1) * 256);
  for (let k = task * 256; k < last; k++) {
    const slot = <usize>k << 2;
    let sum: f32 = 0;
    if (load<i32>(offsets + slot, 4) > load<i32>(offsets + slot)) {
      const w = W + <usize>k * bytes;
      let acc = f32x4.splat(0);
      let o: usize = 0;
      for (; o < vec; o += 16) acc = f32x4.add(acc, f32x4.mul(v128.load(w + o), v128.load(w + o)));
      sum = horizontal(acc);
      for (; o < bytes; o += 4) sum += load<f32>(w + o) * load<f32>(w + o);
    }
    store<f32>(norms + slot, sqrt<f32>(sum));
  }
}

// Job: a task is 64 rows.
// args: 0 dot partials, 1 slices, 2 rows, 3 C, 4 indices, 5 values, 6 counts, 7 dValues, 8 penalty kind, 9 epsilon (f32),
//       10 λ (f32), 11 norms, 12 cumulative, 13 n, 14 slopes out [rows·C], 15 report lengths, 16 R,
//       17 report partials (f64 [tasks][2 + R]: loss of the penalty, active entries, S)
export function finishValues(args: usize, task: i32, thread: i32): void {
  const dots = load<usize>(args), slices = load<i32>(args, 4), rows = load<i32>(args, 8), width = load<i32>(args, 12);
  const indices = load<usize>(args, 16), values = load<usize>(args, 20), counts = load<usize>(args, 24);
  const dValues = load<usize>(args, 28), kind = load<i32>(args, 32);
  const epsilon = <f64>load<f32>(args, 36), lambda = <f64>load<f32>(args, 40);
  const norms = load<usize>(args, 44), C = load<usize>(args, 48), n = load<i32>(args, 52), slopes = load<usize>(args, 56);
  const lengths = load<usize>(args, 60), R = load<i32>(args, 64);
  const report = load<usize>(args, 68) + (<usize>task * <usize>(2 + R) << 3);
  const all = load<f32>(C + (<usize>n << 2));
  const base0: f64 = kind == LOG ? ln(epsilon) : kind == SQRT ? sqrt(epsilon) : 0;
  memory.fill(report, 0, <usize>(2 + R) << 3);
  let loss: f64 = 0;
  let active: f64 = 0;
  const last = min(rows, (task + 1) * 64);
  const plane = <usize>rows * <usize>width << 2;
  for (let row = task * 64; row < last; row++) {
    const base = <usize>row * <usize>width << 2;
    const count = min(width, load<i32>(counts + (<usize>row << 2)));
    let running: f64 = 0;
    let q = 0;
    for (let i = 0; i < count; i++) {
      const slot = base + (<usize>i << 2);
      let g: f32 = 0;
      for (let s = 0; s < slices; s++) g += load<f32>(dots + <usize>s * plane + slot);
      const f = load<f32>(values + slot);
      if (f != 0) active += 1;
      if (kind != 0) {
        const latent = load<i32>(indices + slot);
        while (q < R && load<i32>(lengths + (<usize>q << 2)) <= latent) {
          const o = report + (<usize>(2 + q++) << 3);
          store<f64>(o, load<f64>(o) + running);
        }
        const norm = <f64>load<f32>(norms + (<usize>latent << 2));
        const s = abs(<f64>f) * norm;
        let extra: f64, slope: f64;
        if (kind == L1) {
          extra = s;
          slope = 1;
        } else if (kind == LOG) {
          extra = ln(s + epsilon) - base0;
          slope = 1 / (s + epsilon);
        } else if (kind == SQRT) {
          const root = sqrt(s + epsilon);
          extra = root - base0;
          slope = 0.5 / root;
        } else {
          const e = exp(-2 * s);
          extra = (1 - e) / (1 + e);
          slope = 1 - extra * extra;
        }
        running += extra;
        const held = <f64>(all - load<f32>(C + (<usize>latent << 2)));
        loss += lambda * held * extra;
        slope *= (lambda * held) / <f64>rows;
        g += <f32>(f < 0 ? -slope * norm : slope * norm);
        store<f32>(slopes + slot, <f32>(slope * abs(<f64>f)));
      }
      store<f32>(dValues + slot, g);
    }
    for (let i = count; i < width; i++) store<f32>(dValues + base + (<usize>i << 2), 0);
    while (q < R) {
      const o = report + (<usize>(2 + q++) << 3);
      store<f64>(o, load<f64>(o) + running);
    }
  }
  store<f64>(report, loss);
  store<f64>(report, active, 8);
}

// Job: dW_dec[k] += Σ slopes / ‖d_k‖ · d_k; a task is 256 latents.
// args: 0 W_dec, 1 n, 2 d, 3 offsets, 4 entries, 5 norms, 6 slopes, 7 dW_dec
export function penaltyRows(args: usize, task: i32, thread: i32): void {
  const W = load<usize>(args), n = load<i32>(args, 4), d = load<i32>(args, 8), offsets = load<usize>(args, 12);
  const entries = load<usize>(args, 16), norms = load<usize>(args, 20), slopes = load<usize>(args, 24);
  const dW = load<usize>(args, 28);
  const bytes = <usize>d << 2;
  const last = min(n, (task + 1) * 256);
  for (let k = task * 256; k < last; k++) {
    const slot = <usize>k << 2;
    const norm = load<f32>(norms + slot);
    if (norm == 0) continue;
    let sum: f64 = 0;
    const end = load<i32>(offsets + slot, 4);
    for (let e = load<i32>(offsets + slot); e < end; e++) {
      sum += <f64>load<f32>(slopes + (<usize>load<i32>(entries + (<usize>e << 2)) << 2));
    }
    axpy(dW + <usize>k * bytes, W + <usize>k * bytes, <f32>(sum / <f64>norm), bytes & ~15, bytes);
  }
}
