// MsaePrefixLoss. A block owns a row and walks its list forwards (r_i = r_{i−1} + f_i d_i, the loss Σ Ω_i ‖r_i‖²)
// and backwards (S_i = S_{i+1} + Ω_i r_i, ∂L/∂f_i = S_i · d_i with Ω scaled by 2/B). S′_i, which ∂L/∂d_i needs, is stored
// where it changes (Ω′_i ≠ 0); then a block owns a latent and adds f_e S′_e over its entries in the order of the rows.

#define TILE 32
// decoder rows in flight: four where a thread holds four columns of one
#define AHEAD (V == 1 ? 4 : 1)

// report row: [Σ Ω ‖r‖² (+ penalty), active, R_p …, S_p …] in float64
#define ROWS_PARAMS                                                                                                       \
  const float *target, const float *W_dec, const float *b_dec, const int *indices, const float *values, const int *counts, \
      const float *C, const float *D, const int *lengths, int R, float scale, float *dValues, float *S, int *slots,        \
      float *S0, double *report, float *residual, int row0, int d, int n, int capacity
#define ROWS_ARGS                                                                                                       \
  target, W_dec, b_dec, indices, values, counts, C, D, lengths, R, scale, dValues, S, slots, S0, report, residual, row0, \
      d, n, capacity

template <int V, bool WIDE>
__device__ __forceinline__ void prefixRow(ROWS_PARAMS) {
  __shared__ int tileIndex[TILE];
  __shared__ float tileValue[TILE], tileC[TILE + 1], tileD[TILE + 1];
  __shared__ float dots[32][TILE];
  __shared__ float scratch[32];
  __shared__ double wide[32];
  __shared__ int slotOf[TILE];
  const int t = threadIdx.x, lane = t & 31, warp = t >> 5, warps = blockDim.x >> 5;
  const int row = row0 + blockIdx.x;
  const int count = min(counts[row], capacity);
  const long long at = (long long)row * capacity;
  const long long chunkAt = (long long)blockIdx.x * capacity;
  double* own = report + (long long)row * (2 + 2 * R);

  float4 r[V];
#pragma unroll
  for (int v = 0; v < V; v++) {
    const float4 b = loadColumns<WIDE>(b_dec, v, d), x = loadColumns<WIDE>(target + (long long)row * d, v, d);
    r[v] = make_float4(b.x - x.x, b.y - x.y, b.z - x.z, b.w - x.w);
  }

  float loss = 0, before = 0;
  int q = 0, active = 0;
  for (int base = 0; base < count; base += TILE) {
    const int size = min(TILE, count - base);
    __syncthreads();
    if (t < size) {
      const int k = indices[at + base + t];
      tileIndex[t] = k;
      tileValue[t] = values[at + base + t];
      tileC[t] = C[k];
      active += tileValue[t] != 0;
    }
    __syncthreads();
    for (int u0 = 0; u0 < size; u0 += AHEAD) {
      float4 w[AHEAD][V];
#pragma unroll
      for (int g = 0; g < AHEAD; g++) {
        if (u0 + g >= size) break;
#pragma unroll
        for (int v = 0; v < V; v++) w[g][v] = loadColumns<WIDE>(W_dec + (long long)tileIndex[u0 + g] * d, v, d);
      }
#pragma unroll
      for (int g = 0; g < AHEAD; g++) {
        const int u = u0 + g;
        if (u >= size) break;
        float square = 0;
#pragma unroll
        for (int v = 0; v < V; v++) square += dot4(r[v], r[v]);
        loss += (tileC[u] - before) * square;
        before = tileC[u];
        if (q < R && lengths[q] <= tileIndex[u]) {
          const float total = blockSum(square, scratch);
          do {
            if (t == 0) own[2 + q] = total;
            q++;
          } while (q < R && lengths[q] <= tileIndex[u]);
        }
#pragma unroll
        for (int v = 0; v < V; v++) addScaled(r[v], tileValue[u], w[g][v]);
      }
    }
  }
  float square = 0;
#pragma unroll
  for (int v = 0; v < V; v++) square += dot4(r[v], r[v]);
  loss += (C[n] - before) * square;
  if (q < R) {
    const float total = blockSum(square, scratch);
    for (; q < R; q++)
      if (t == 0) own[2 + q] = total;
  }
  const double rowLoss = blockSum((double)loss, wide);
  if (t == 0) own[0] = rowLoss;
  if (warp == 0) active = warpSum(active);
  if (t == 0) own[1] = active;
  for (int p = t; p < R; p += blockDim.x) own[2 + R + p] = 0;
  if (residual) {
#pragma unroll
    for (int v = 0; v < V; v++)
      storeColumns<WIDE>(residual + (long long)row * d, v, d, make_float4(-r[v].x, -r[v].y, -r[v].z, -r[v].w));
  }

  float4 s[V], s2[V];
#pragma unroll
  for (int v = 0; v < V; v++) s[v] = s2[v] = make_float4(0, 0, 0, 0);
  float upToC = C[n], upToD = D ? D[n] : 0;
  int slot = -1;
  const int tiles = (count + TILE - 1) / TILE;
  for (int tile = tiles - 1; tile >= 0; tile--) {
    const int base = tile * TILE, size = min(TILE, count - base);
    __syncthreads();
    if (t < size) {
      const int k = indices[at + base + t];
      tileIndex[t] = k;
      tileValue[t] = values[at + base + t];
      tileC[t] = C[k];
      if (D) tileD[t] = D[k];
    }
    __syncthreads();
    for (int u0 = size - 1; u0 >= 0; u0 -= AHEAD) {
      float4 w[AHEAD][V];
#pragma unroll
      for (int g = 0; g < AHEAD; g++) {
        if (u0 - g < 0) break;
#pragma unroll
        for (int v = 0; v < V; v++) w[g][v] = loadColumns<WIDE>(W_dec + (long long)tileIndex[u0 - g] * d, v, d);
      }
#pragma unroll
      for (int g = 0; g < AHEAD; g++) {
        const int u = u0 - g;
        if (u < 0) break;
        // r is r_i after latent u (i = base + u + 1); Ω_i = C(k_{i+1}) − C(k_i)
        const float omega = (upToC - tileC[u]) * scale;
        upToC = tileC[u];
        float step = omega;
#pragma unroll
        for (int v = 0; v < V; v++) addScaled(s[v], omega, r[v]);
        if (D) {
          step = (upToD - tileD[u]) * scale;
          upToD = tileD[u];
#pragma unroll
          for (int v = 0; v < V; v++) addScaled(s2[v], step, r[v]);
        }
        if (step != 0 || slot < 0) {
          slot = base + u;
#pragma unroll
          for (int v = 0; v < V; v++) storeColumns<WIDE>(S + (chunkAt + slot) * d, v, d, D ? s2[v] : s[v]);
        }
        float dot = 0;
#pragma unroll
        for (int v = 0; v < V; v++) {
          dot += dot4(s[v], w[g][v]);
          addScaled(r[v], -tileValue[u], w[g][v]);
        }
        dot = warpSum(dot);
        if (lane == 0) dots[warp][u] = dot;
        if (t == 0) slotOf[u] = slot;
      }
    }
    __syncthreads();
    if (t < size) {
      float dot = dots[0][t];
      for (int w = 1; w < warps; w++) dot += dots[w][t];
      dValues[at + base + t] = dot;
      slots[chunkAt + base + t] = (int)(chunkAt + slotOf[t]);
    }
  }
  const float omega = (D ? upToD : upToC) * scale;
#pragma unroll
  for (int v = 0; v < V; v++) {
    float4 total = D ? s2[v] : s[v];
    addScaled(total, omega, r[v]);
    storeColumns<WIDE>(S0 + (long long)row * d, v, d, total);
  }
  for (int i = count + t; i < capacity; i += blockDim.x) dValues[at + i] = 0;
}

extern "C" __global__ void __launch_bounds__(256) prefixRows1(ROWS_PARAMS) { prefixRow<1, false>(ROWS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) prefixRows4(ROWS_PARAMS) { prefixRow<4, false>(ROWS_ARGS); }
extern "C" __global__ void __launch_bounds__(256) prefixRowsWide1(ROWS_PARAMS) { prefixRow<1, true>(ROWS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) prefixRowsWide4(ROWS_PARAMS) { prefixRow<4, true>(ROWS_ARGS); }

// ‖d_i‖ of every latent, a warp each.
extern "C" __global__ void rowNorms(const float* W, float* norms, int n, int d) {
  const int latent = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (latent >= n) return;
  float sum = 0;
  for (int j = threadIdx.x & 31; j < d; j += 32) {
    const float w = W[(long long)latent * d + j];
    sum += w * w;
  }
  sum = warpSum(sum);
  if ((threadIdx.x & 31) == 0) norms[latent] = sqrtf(sum);
}

enum Penalty { NONE = 0, L1 = 1, LOG = 2, SQRT = 3, TANH = 4 };

// penalty(u) − penalty(0)
__device__ __forceinline__ float penaltyExtra(int kind, float u, float epsilon) {
  switch (kind) {
    case L1: return u;
    case LOG: return log1pf(u / epsilon);
    case SQRT: return u / (sqrtf(u + epsilon) + sqrtf(epsilon));
    case TANH: return tanhf(u);
  }
  return 0;
}

__device__ __forceinline__ float penaltySlope(int kind, float u, float epsilon) {
  switch (kind) {
    case L1: return 1;
    case LOG: return 1 / (u + epsilon);
    case SQRT: return 0.5f / sqrtf(u + epsilon);
    case TANH: {
      const float h = tanhf(u);
      return 1 - h * h;
    }
  }
  return 0;
}

// The penalty of a row's entries, a warp a row: adds to ∂L/∂f, the loss and S_p; `slopes` gets λ/B T_i s′(u) |f|.
extern "C" __global__ void penaltyRows(const int* indices, const float* values, const int* counts, const float* C,
                                       const float* norms, const int* lengths, int R, int kind, float epsilon, float lambda,
                                       float lambdaPerRow, float* dValues, float* slopes, double* report, int rows, int n, int capacity) {
  const int row = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (row >= rows) return;
  const int count = min(counts[row], capacity);
  const long long at = (long long)row * capacity;
  double* own = report + (long long)row * (2 + 2 * R);
  const float all = C[n];
  double loss = 0;
  for (int base = 0; base < count; base += 32) {
    const int i = base + lane;
    int k = n;
    float extra = 0;
    if (i < count) {
      k = indices[at + i];
      const float f = values[at + i], norm = norms[k];
      const float u = fabsf(f) * norm, held = all - C[k];
      extra = penaltyExtra(kind, u, epsilon);
      loss += (double)held * extra;
      const float slope = lambdaPerRow * held * penaltySlope(kind, u, epsilon);
      dValues[at + i] += f < 0 ? -slope * norm : slope * norm;
      slopes[at + i] = slope * fabsf(f);
    }
    for (int q = 0; q < R; q++) {
      const double sum = warpSum((double)(k < lengths[q] ? extra : 0));
      if (lane == 0 && sum != 0) own[2 + R + q] += sum;
    }
  }
  loss = warpSum(loss);
  if (lane == 0) own[0] += lambda * loss;
}

// f_e S′_e of a latent's entries.
struct DecoderRows {
  const float *values, *S;
  const int* slots;
  int entry0, d;
  __device__ __forceinline__ const float* operator()(int entry, float& scale) const {
    scale = values[entry0 + entry];
    return S + (long long)slots[entry] * d;
  }
};

// The parts beyond the first of latents with many entries, a block each.
#define PARTS_PARAMS                                                                                                    \
  const int *offsets, const int *entries, const int *partOffsets, const int *partLatents, const float *values,           \
      const float *S, const int *slots, float *parts, int entry0, int d, int n
#define PARTS_ARGS offsets, entries, partOffsets, partLatents, values, S, slots, parts, entry0, d, n
template <int V, bool WIDE>
__device__ __forceinline__ void latentPart(PARTS_PARAMS) {
  const int part = blockIdx.x;
  if (part >= partOffsets[n]) return;
  const int latent = partLatents[part];
  const int from = offsets[latent] + (part - partOffsets[latent] + 1) * SEGMENT;
  float4 sum[V];
#pragma unroll
  for (int v = 0; v < V; v++) sum[v] = make_float4(0, 0, 0, 0);
  const DecoderRows rows = {values, S, slots, entry0, d};
  sumEntries<V, WIDE>(sum, from, min(offsets[latent + 1], from + SEGMENT), entries, d, rows);
#pragma unroll
  for (int v = 0; v < V; v++) storeColumns<WIDE>(parts + (long long)part * d, v, d, sum[v]);
}

extern "C" __global__ void __launch_bounds__(256) decoderParts1(PARTS_PARAMS) { latentPart<1, false>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) decoderParts4(PARTS_PARAMS) { latentPart<4, false>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(256) decoderPartsWide1(PARTS_PARAMS) { latentPart<1, true>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) decoderPartsWide4(PARTS_PARAMS) { latentPart<4, true>(PARTS_ARGS); }

// ∂L/∂W_dec of a latent, a block each: Σ_e f_e S′_e (+ the penalty's slope along d_i), and its square for the gradients' norm;
// `add` for all chunks but the first.
#define LATENT_PARAMS                                                                                                    \
  const int *offsets, const int *entries, const int *partOffsets, const float *parts, const float *values, const float *S, \
      const int *slots, const float *slopes, const float *norms, const float *W_dec, float *dW, float *squares, int entry0,     \
      int d, int add
#define LATENT_ARGS offsets, entries, partOffsets, parts, values, S, slots, slopes, norms, W_dec, dW, squares, entry0, d, add

template <int V, bool WIDE>
__device__ __forceinline__ void latentRow(LATENT_PARAMS) {
  __shared__ float scratch[32];
  const int latent = blockIdx.x;
  const int from = offsets[latent], to = offsets[latent + 1];
  if (add && from == to) return;
  float4 sum[V];
#pragma unroll
  for (int v = 0; v < V; v++) sum[v] = make_float4(0, 0, 0, 0);
  float* out = dW + (long long)latent * d;
  const DecoderRows rows = {values, S, slots, entry0, d};
  sumEntries<V, WIDE>(sum, from, min(to, from + SEGMENT), entries, d, rows);
  if (to - from > SEGMENT) {
    for (int p = partOffsets[latent]; p < partOffsets[latent + 1]; p++) {
#pragma unroll
      for (int v = 0; v < V; v++) addScaled(sum[v], 1, loadColumns<WIDE>(parts + (long long)p * d, v, d));
    }
  }
  if (slopes && to > from && norms[latent] != 0) {
    float slope = 0;
    for (int e = from + threadIdx.x; e < to; e += blockDim.x) slope += slopes[entry0 + entries[e]];
    const float factor = blockSum(slope, scratch) / norms[latent];
#pragma unroll
    for (int v = 0; v < V; v++) addScaled(sum[v], factor, loadColumns<WIDE>(W_dec + (long long)latent * d, v, d));
  }
  if (add) {
#pragma unroll
    for (int v = 0; v < V; v++) addScaled(sum[v], 1, loadColumns<WIDE>(out, v, d));
  }
  float square = 0;
#pragma unroll
  for (int v = 0; v < V; v++) {
    storeColumns<WIDE>(out, v, d, sum[v]);
    square += dot4(sum[v], sum[v]);
  }
  square = from == to && !add ? 0 : blockSum(square, scratch);
  if (threadIdx.x == 0) squares[latent] = square;
}

extern "C" __global__ void __launch_bounds__(256) latentDecoder1(LATENT_PARAMS) { latentRow<1, false>(LATENT_ARGS); }
extern "C" __global__ void __launch_bounds__(512) latentDecoder4(LATENT_PARAMS) { latentRow<4, false>(LATENT_ARGS); }
extern "C" __global__ void __launch_bounds__(256) latentDecoderWide1(LATENT_PARAMS) { latentRow<1, true>(LATENT_ARGS); }
extern "C" __global__ void __launch_bounds__(512) latentDecoderWide4(LATENT_PARAMS) { latentRow<4, true>(LATENT_ARGS); }

// Sums and sums of squares of the columns of two [rows, d] by chunks of rows, in float64. The second has its first row taken off
// all: its spread is wanted.
extern "C" __global__ void columnPartials(const float* a, const float* b, double* partials, int rows, int d, int each) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= d) return;
  const int from = blockIdx.y * each, to = min(rows, from + each);
  const float* own = blockIdx.z ? b : a;
  const float shift = blockIdx.z ? b[j] : 0;
  double sum = 0, squares = 0;
#pragma unroll 8
  for (int row = from; row < to; row++) {
    const double v = own[(long long)row * d + j] - shift;
    sum += v;
    squares += v * v;
  }
  partials += 2 * (long long)blockIdx.z * gridDim.y * d;
  partials[((long long)blockIdx.y * 2) * d + j] = sum;
  partials[((long long)blockIdx.y * 2 + 1) * d + j] = squares;
}

// sums[j] = Σ of the first's columns, spread[j] = Σ (b − b̄)² of the second's. A block of 32 columns × 8.
extern "C" __global__ void __launch_bounds__(256)
    columnTotals(const double* partials, float* sums, double* spread, int chunks, int rows, int d) {
  __shared__ double scratch[2][8][32];
  const int column = threadIdx.x & 31, y = threadIdx.x >> 5, j = blockIdx.x * 32 + column;
  partials += 2 * (long long)blockIdx.y * chunks * d;
  double sum = 0, squares = 0;
  if (j < d) {
#pragma unroll 4
    for (int c = y; c < chunks; c += 8) {
      sum += partials[((long long)c * 2) * d + j];
      squares += partials[((long long)c * 2 + 1) * d + j];
    }
  }
  scratch[0][y][column] = sum;
  scratch[1][y][column] = squares;
  __syncthreads();
  if (y > 0 || j >= d) return;
  for (int w = 1; w < 8; w++) {
    sum += scratch[0][w][column];
    squares += scratch[1][w][column];
  }
  if (blockIdx.y == 0) sums[j] = (float)sum;
  else spread[j] = squares - sum * sum / rows;
}

// The report, a block a number: [L, L0, variance, R_p …, S_p …]. An inactive latent adds `inactive` to S_p.
extern "C" __global__ void __launch_bounds__(256) finishReport(const double* rowReports, const double* spread, const float* C,
                                                               const int* lengths, float* report, int R, int rows, int d, int n,
                                                               float lambda, double inactive) {
  __shared__ double scratch[32];
  const int b = blockIdx.x;
  double sum = 0;
  if (b == 2) {
    for (int j = threadIdx.x; j < d; j += blockDim.x) sum += spread[j];
  } else {
    const double* column = rowReports + (b < 2 ? b : b - 1);
    for (int row = threadIdx.x; row < rows; row += blockDim.x) sum += column[(long long)row * (2 + 2 * R)];
  }
  sum = blockSum(sum, scratch) / rows;
  if (inactive != 0 && b == 0) {
    double held = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) held += C[n] - C[i];
    sum += lambda * inactive * blockSum(held, scratch);
  }
  if (b >= 3 + R) sum += inactive * lengths[b - 3 - R];
  if (threadIdx.x == 0) report[b] = (float)sum;
}
