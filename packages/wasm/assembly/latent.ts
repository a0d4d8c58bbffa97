// Per latent: the encoder's gradients through the transposed lists. Adam, the global norm.
import { axpy } from './decode';
import { transpose4 } from './gemm';

const BLOCK: i32 = 64;

// Job: a task is 64 latents. Their gradients are summed as rows and then written as columns of dW_enc.
// args: 0 x, 1 d, 2 n, 3 C, 4 offsets, 5 entries, 6 values, 7 dValues, 8 b_dec or 0, 9 pre or 0, 10 threshold or 0,
//       11 bandwidth (f32), 12 dW_enc, 13 db_enc, 14 firings, 15 squares, 16 dThreshold, 17 near, 18 scratch, 19 bytes a thread
export function latentGrads(args: usize, task: i32, thread: i32): void {
  const x = load<usize>(args), d = load<i32>(args, 4), n = load<i32>(args, 8), width = load<i32>(args, 12);
  const offsets = load<usize>(args, 16), entries = load<usize>(args, 20), values = load<usize>(args, 24);
  const dValues = load<usize>(args, 28), shift = load<usize>(args, 32), pre = load<usize>(args, 36);
  const thresholds = load<usize>(args, 40), h = load<f32>(args, 44), dW = load<usize>(args, 48);
  const db = load<usize>(args, 52), firings = load<usize>(args, 56), squares = load<usize>(args, 60);
  const dThresholds = load<usize>(args, 64), nears = load<usize>(args, 68);
  const rowsOut = load<usize>(args, 72) + <usize>thread * load<usize>(args, 76);
  const bytes = <usize>d << 2, vec = bytes & ~15;
  const first = task * BLOCK, end = min(n, first + BLOCK), columns = end - first;
  memory.fill(rowsOut, 0, <usize>columns * bytes);
  for (let k = first; k < end; k++) {
    const slot = <usize>k << 2;
    const out = rowsOut + <usize>(k - first) * bytes;
    const theta: f32 = thresholds != 0 ? load<f32>(thresholds + slot) : 0;
    let g: f32 = 0, square: f32 = 0, fired: f32 = 0, dTheta: f32 = 0, near: f32 = 0;
    const last = load<i32>(offsets + slot, 4);
    for (let at = load<i32>(offsets + slot); at < last; at++) {
      const e = load<i32>(entries + (<usize>at << 2));
      const o = <usize>e << 2;
      const grad = load<f32>(dValues + o);
      if (thresholds != 0) {
        const p = load<f32>(pre + o);
        if (abs(p - theta) < h * 0.5) {
          dTheta -= (theta / h) * grad;
          near += 1;
        }
        if (!(p > theta)) continue;
      }
      const f = load<f32>(values + o);
      fired += 1;
      square += f * f;
      g += grad;
      axpy(out, x + <usize>(e / width) * bytes, grad, vec, bytes);
    }
    if (shift != 0 && fired > 0) axpy(out, shift, -g, vec, bytes);
    store<f32>(db + slot, g);
    store<f32>(firings + slot, fired);
    store<f32>(squares + slot, square);
    if (thresholds != 0) {
      store<f32>(dThresholds + slot, dTheta);
      store<f32>(nears + slot, near);
    }
  }
  const outStep = <usize>n << 2;
  const target = dW + (<usize>first << 2);
  const d4 = d & ~3, c4 = columns & ~3;
  for (let j = 0; j < d4; j += 4) {
    for (let c = 0; c < c4; c += 4) {
      const from = rowsOut + <usize>c * bytes + (<usize>j << 2);
      transpose4(from, bytes, target + <usize>j * outStep + (<usize>c << 2), outStep);
    }
  }
  for (let j = 0; j < d; j++) {
    for (let c = j < d4 ? c4 : 0; c < columns; c++) {
      const v = load<f32>(rowsOut + <usize>c * bytes + (<usize>j << 2));
      store<f32>(target + <usize>j * outStep + (<usize>c << 2), v);
    }
  }
}

const CHUNK: i32 = 65536;

// Job: Adam in place; a task is 65,536 values.
// args: 0 param, 1 m, 2 v, 3 grad, 4 scale (pointer), 5 length, then f32: 6 lr, 7 β1, 8 β2, 9 ε, 10 1/(1−β1^t), 11 1/(1−β2^t), 12 decay,
//       13 1−β1, 14 1−β2
export function adam(args: usize, task: i32, thread: i32): void {
  const from = task * CHUNK, count = min(CHUNK, load<i32>(args, 20) - from);
  const shift = <usize>from << 2;
  let p = load<usize>(args) + shift, m = load<usize>(args, 4) + shift, v = load<usize>(args, 8) + shift;
  let g = load<usize>(args, 12) + shift;
  const scale = load<f32>(load<usize>(args, 16)), lr = load<f32>(args, 24), b1 = load<f32>(args, 28);
  const b2 = load<f32>(args, 32), eps = load<f32>(args, 36), c1 = load<f32>(args, 40), c2 = load<f32>(args, 44);
  const decay = load<f32>(args, 48), a1 = load<f32>(args, 52), a2 = load<f32>(args, 56);
  const SC = f32x4.splat(scale), LR = f32x4.splat(lr), B1 = f32x4.splat(b1), B2 = f32x4.splat(b2), E = f32x4.splat(eps);
  const C1 = f32x4.splat(c1), C2 = f32x4.splat(c2), D = f32x4.splat(decay), A1 = f32x4.splat(a1), A2 = f32x4.splat(a2);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const grad = f32x4.mul(v128.load(g), SC);
    const mean = f32x4.add(f32x4.mul(v128.load(m), B1), f32x4.mul(grad, A1));
    const square = f32x4.add(f32x4.mul(v128.load(v), B2), f32x4.mul(f32x4.mul(grad, grad), A2));
    v128.store(m, mean);
    v128.store(v, square);
    const root = f32x4.add(f32x4.sqrt(f32x4.mul(square, C2)), E);
    const w = v128.load(p);
    const update = f32x4.add(f32x4.div(f32x4.mul(mean, C1), root), f32x4.mul(w, D));
    v128.store(p, f32x4.sub(w, f32x4.mul(LR, update)));
    p += 16;
    m += 16;
    v += 16;
    g += 16;
  }
  for (; i < count; i++) {
    const grad = load<f32>(g) * scale;
    const mean = load<f32>(m) * b1 + grad * a1;
    const square = load<f32>(v) * b2 + grad * grad * a2;
    store<f32>(m, mean);
    store<f32>(v, square);
    const w = load<f32>(p);
    store<f32>(p, w - lr * ((mean * c1) / (sqrt<f32>(square * c2) + eps) + w * decay));
    p += 4;
    m += 4;
    v += 4;
    g += 4;
  }
}

// Job: sums of squares, one f64 for each task of 65,536 values; floats are summed 256 at a time.
// args: 0 values, 1 length, 2 out
export function sumOfSquares(args: usize, task: i32, thread: i32): void {
  const from = task * CHUNK, count = min(CHUNK, load<i32>(args, 4) - from);
  let p = load<usize>(args) + (<usize>from << 2);
  let sum: f64 = 0;
  let left = count;
  while (left >= 256) {
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
    for (let i = 0; i < 256; i += 8) {
      const a = v128.load(p), b = v128.load(p, 16);
      s0 = f32x4.add(s0, f32x4.mul(a, a));
      s1 = f32x4.add(s1, f32x4.mul(b, b));
      p += 32;
    }
    const s = f32x4.add(s0, s1);
    sum += <f64>f32x4.extract_lane(s, 0) + <f64>f32x4.extract_lane(s, 1);
    sum += <f64>f32x4.extract_lane(s, 2) + <f64>f32x4.extract_lane(s, 3);
    left -= 256;
  }
  for (; left > 0; left--) {
    const a = <f64>load<f32>(p);
    sum += a * a;
    p += 4;
  }
  store<f64>(load<usize>(args, 8) + (<usize>task << 3), sum);
}
