// MsaeLatentGrads. A block owns 32 latents and 128 columns of x: each warp adds g·x over the entries of four latents in the
// order of the rows, then the tile is written transposed into dW_enc [d, N]. Latents with many entries are added up in parts
// (`encoderParts`) by blocks of their own first.

#define LATENTS 32
#define COLUMNS 128

// ∂L/∂pre of an entry: with a threshold an entry is active iff pre > θ; without one every listed entry is.
__device__ __forceinline__ float gradientOf(int entry, const float* dValues, const float* pre, bool gated, float theta) {
  return gated && !(pre[entry] > theta) ? 0 : dValues[entry];
}

// g_e x_e of a latent's entries.
struct EncoderRows {
  const float *x, *dValues, *pre;
  bool gated;
  float theta;
  int d, capacity;
  __device__ __forceinline__ const float* operator()(int entry, float& scale) const {
    scale = gradientOf(entry, dValues, pre, gated, theta);
    return x + (long long)(entry / capacity) * d;
  }
};

#define PARTS_PARAMS                                                                                                     \
  const int *offsets, const int *entries, const int *partOffsets, const int *partLatents, const float *x,                 \
      const float *dValues, const float *pre, const float *threshold, float *parts, float *partTotals, int d, int n,      \
      int capacity
#define PARTS_ARGS \
  offsets, entries, partOffsets, partLatents, x, dValues, pre, threshold, parts, partTotals, d, n, capacity
template <int V, bool WIDE>
__device__ __forceinline__ void latentPart(PARTS_PARAMS) {
  const int part = blockIdx.x;
  if (part >= partOffsets[n]) return;
  const int latent = partLatents[part];
  const int from = offsets[latent] + (part - partOffsets[latent] + 1) * SEGMENT;
  const int to = min(offsets[latent + 1], from + SEGMENT);
  const float theta = threshold ? threshold[latent] : 0;
  float4 sum[V];
#pragma unroll
  for (int v = 0; v < V; v++) sum[v] = make_float4(0, 0, 0, 0);
  const EncoderRows rows = {x, dValues, pre, threshold != 0, theta, d, capacity};
  sumEntries<V, WIDE>(sum, from, to, entries, d, rows);
#pragma unroll
  for (int v = 0; v < V; v++) storeColumns<WIDE>(parts + (long long)part * d, v, d, sum[v]);
  if (threadIdx.x >= 32) return;
  float total = 0;
  for (int e = from + threadIdx.x; e < to; e += 32) total += gradientOf(entries[e], dValues, pre, threshold != 0, theta);
  total = warpSum(total);
  if (threadIdx.x == 0) partTotals[part] = total;
}

extern "C" __global__ void __launch_bounds__(256) encoderParts1(PARTS_PARAMS) { latentPart<1, false>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) encoderParts4(PARTS_PARAMS) { latentPart<4, false>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(256) encoderPartsWide1(PARTS_PARAMS) { latentPart<1, true>(PARTS_ARGS); }
extern "C" __global__ void __launch_bounds__(512) encoderPartsWide4(PARTS_PARAMS) { latentPart<4, true>(PARTS_ARGS); }

// Four columns of a row, from column0 + 4 · lane on.
__device__ __forceinline__ float4 loadSlice(const float* row, int column, int d, bool wide) {
  if (wide) return column < d ? __ldg(reinterpret_cast<const float4*>(row + column)) : make_float4(0, 0, 0, 0);
  return make_float4(column < d ? row[column] : 0, column + 1 < d ? row[column + 1] : 0,
                     column + 2 < d ? row[column + 2] : 0, column + 3 < d ? row[column + 3] : 0);
}

extern "C" __global__ void __launch_bounds__(256)
    latentEncoder(const float* x, const float* b_dec, const int* offsets, const int* entries, const int* partOffsets,
                  const float* parts, const float* partTotals, const float* dValues, const float* pre,
                  const float* threshold, float* dW, float* squares, int d, int n, int capacity) {
  __shared__ float tile[COLUMNS][LATENTS + 1];
  __shared__ float scratch[32];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  const int column0 = blockIdx.y * COLUMNS, own0 = column0 + 4 * lane;
  const bool wide = (d & 3) == 0;
  float square = 0;
  for (int own = warp; own < LATENTS; own += warps) {
    const int latent = blockIdx.x * LATENTS + own;
    float4 sum = make_float4(0, 0, 0, 0);
    float total = 0;
    if (latent < n) {
      const int from = offsets[latent], to = offsets[latent + 1];
      const float theta = threshold ? threshold[latent] : 0;
      const int end = min(to, from + SEGMENT);
#pragma unroll 4
      for (int e = from; e < end; e++) {
        const int entry = entries[e];
        const float g = gradientOf(entry, dValues, pre, threshold != 0, theta);
        total += g;
        addScaled(sum, g, loadSlice(x + (long long)(entry / capacity) * d, own0, d, wide));
      }
      if (end < to) {
        for (int p = partOffsets[latent]; p < partOffsets[latent + 1]; p++) {
          total += partTotals[p];
          addScaled(sum, 1, loadSlice(parts + (long long)p * d, own0, d, wide));
        }
      }
    }
    const float sums[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int c = 0; c < 4; c++) {
      const float g = sums[c] - (b_dec && own0 + c < d ? total * b_dec[own0 + c] : 0);
      tile[4 * lane + c][own] = g;
      square += g * g;
    }
  }
  square = blockSum(square, scratch); // and the tile is complete
  if (threadIdx.x == 0) squares[(long long)blockIdx.y * gridDim.x + blockIdx.x] = square;
  const int latent = blockIdx.x * LATENTS + lane;
  for (int c = warp; c < COLUMNS && column0 + c < d; c += warps)
    if (latent < n) dW[(long long)(column0 + c) * n + latent] = tile[c][lane];
}

// The numbers of each latent, a warp each: db_enc, firings, Σf², and with a threshold its gradient and how many are near.
extern "C" __global__ void latentTotals(const int* offsets, const int* entries, const float* values, const float* dValues,
                                        const float* pre, const float* threshold, float bandwidth, float* db, float* firings,
                                        float* squares, float* dThreshold, float* near, int n) {
  const int latent = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (latent >= n) return;
  const int from = offsets[latent], to = offsets[latent + 1];
  const float theta = threshold ? threshold[latent] : 0;
  float b = 0, fired = 0, square = 0, slope = 0, close = 0;
  for (int e = from + lane; e < to; e += 32) {
    const int entry = entries[e];
    const float g = dValues[entry];
    if (threshold) {
      if (fabsf(pre[entry] - theta) < bandwidth / 2) {
        slope -= theta / bandwidth * g;
        close += 1;
      }
      if (!(pre[entry] > theta)) continue;
    }
    const float f = values[entry];
    b += g;
    fired += 1;
    square += f * f;
  }
  b = warpSum(b);
  fired = warpSum(fired);
  square = warpSum(square);
  if (threshold) {
    slope = warpSum(slope);
    close = warpSum(close);
  }
  if (lane > 0) return;
  db[latent] = b;
  firings[latent] = fired;
  squares[latent] = square;
  if (threshold) {
    dThreshold[latent] = slope;
    near[latent] = close;
  }
}
