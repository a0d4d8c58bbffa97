// MsaeDecodeActive: x̂ = b_dec + Σ f_i d_i, a block a row.

template <int V, bool WIDE>
__device__ __forceinline__ void decodeRow(const float* W_dec, const float* b_dec, const int* indices, const float* values,
                                          const int* counts, float* out, int d, int capacity) {
  const int row = blockIdx.x;
  const int count = min(counts[row], capacity);
  const long long at = (long long)row * capacity;
  float4 sum[V];
#pragma unroll
  for (int v = 0; v < V; v++) sum[v] = loadColumns<WIDE>(b_dec, v, d);
#pragma unroll 4
  for (int i = 0; i < count; i++) {
    const float f = values[at + i];
    const float* w = W_dec + (long long)indices[at + i] * d;
#pragma unroll
    for (int v = 0; v < V; v++) addScaled(sum[v], f, loadColumns<WIDE>(w, v, d));
  }
#pragma unroll
  for (int v = 0; v < V; v++) storeColumns<WIDE>(out + (long long)row * d, v, d, sum[v]);
}

#define DECODE_PARAMS                                                                                                  \
  const float *W_dec, const float *b_dec, const int *indices, const float *values, const int *counts, float *out, int d, \
      int capacity
#define DECODE_ARGS W_dec, b_dec, indices, values, counts, out, d, capacity
extern "C" __global__ void decodeActive1(DECODE_PARAMS) { decodeRow<1, false>(DECODE_ARGS); }
extern "C" __global__ void decodeActive4(DECODE_PARAMS) { decodeRow<4, false>(DECODE_ARGS); }
extern "C" __global__ void decodeActiveWide1(DECODE_PARAMS) { decodeRow<1, true>(DECODE_ARGS); }
extern "C" __global__ void decodeActiveWide4(DECODE_PARAMS) { decodeRow<4, true>(DECODE_ARGS); }
