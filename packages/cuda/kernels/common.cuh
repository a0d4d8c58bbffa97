// What every kernel file starts with; put before it by the embedding script. On the CPU ../emulation/cuda_emulation.h comes first.
#ifndef MSAE_EMULATED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

// Entries of a latent that are added up in one go; see scanLatents.
#define SEGMENT 64

#define ALL_LANES 0xffffffffu
#define INFINITE __uint_as_float(0x7f800000u)
#define NOT_A_NUMBER __uint_as_float(0x7fc00000u)

// A load that leaves the first cache to what is read again.
__device__ __forceinline__ float loadOnce(const float* at) {
#ifdef MSAE_EMULATED
  return *at;
#else
  float v;
  asm("ld.global.nc.L1::no_allocate.f32 %0, [%1];" : "=f"(v) : "l"(at));
  return v;
#endif
}

__device__ __forceinline__ float4 loadFourOnce(const float* at) {
#ifdef MSAE_EMULATED
  return *reinterpret_cast<const float4*>(at);
#else
  float4 v;
  asm("ld.global.nc.L1::no_allocate.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(at));
  return v;
#endif
}

template <typename T>
__device__ __forceinline__ T warpSum(T v) {
  for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(ALL_LANES, v, offset);
  return v;
}

__device__ __forceinline__ float warpMax(float v) {
  for (int offset = 16; offset > 0; offset >>= 1) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, offset));
  return v;
}

// The sum over a block of whole warps, in every thread; `scratch` has room for 32. Always the same order of additions.
template <typename T>
__device__ __forceinline__ T blockSum(T v, T* scratch) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  v = warpSum(v);
  __syncthreads();
  if (lane == 0) scratch[warp] = v;
  __syncthreads();
  T total = scratch[0];
  for (int w = 1; w < warps; w++) total += scratch[w];
  return total;
}

__device__ __forceinline__ float blockMax(float v, float* scratch) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  v = warpMax(v);
  __syncthreads();
  if (lane == 0) scratch[warp] = v;
  __syncthreads();
  float total = scratch[0];
  for (int w = 1; w < warps; w++) total = fmaxf(total, scratch[w]);
  return total;
}

// Exclusive prefix sum over a block of whole warps; `total` gets the sum. `scratch` has room for 33.
template <typename T>
__device__ __forceinline__ T blockScan(T v, T* scratch, T& total) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  T sum = v;
  for (int by = 1; by < 32; by <<= 1) {
    const T below = __shfl_up_sync(ALL_LANES, sum, by);
    if (lane >= by) sum += below;
  }
  __syncthreads();
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  T before = 0;
  total = 0;
  for (int w = 0; w < warps; w++) {
    if (w < warp) before += scratch[w];
    total += scratch[w];
  }
  return before + sum - v;
}

// Four neighbouring columns of a row where rows are 16-byte aligned (WIDE), else four columns a block's width apart.
template <bool WIDE>
__device__ __forceinline__ int columnOf(int v, int c) {
  return WIDE ? 4 * (threadIdx.x + blockDim.x * v) + c : threadIdx.x + blockDim.x * (4 * v + c);
}

template <bool WIDE>
__device__ __forceinline__ float4 loadColumns(const float* row, int v, int d) {
  if (WIDE) {
    const int at = columnOf<WIDE>(v, 0);
    return at < d ? __ldg(reinterpret_cast<const float4*>(row + at)) : make_float4(0, 0, 0, 0);
  }
  const int a = columnOf<WIDE>(v, 0), b = columnOf<WIDE>(v, 1), c = columnOf<WIDE>(v, 2), e = columnOf<WIDE>(v, 3);
  return make_float4(a < d ? row[a] : 0, b < d ? row[b] : 0, c < d ? row[c] : 0, e < d ? row[e] : 0);
}

template <bool WIDE>
__device__ __forceinline__ void storeColumns(float* row, int v, int d, float4 value) {
  if (WIDE) {
    const int at = columnOf<WIDE>(v, 0);
    if (at < d) *reinterpret_cast<float4*>(row + at) = value;
    return;
  }
  const int a = columnOf<WIDE>(v, 0), b = columnOf<WIDE>(v, 1), c = columnOf<WIDE>(v, 2), e = columnOf<WIDE>(v, 3);
  if (a < d) row[a] = value.x;
  if (b < d) row[b] = value.y;
  if (c < d) row[c] = value.z;
  if (e < d) row[e] = value.w;
}

__device__ __forceinline__ float dot4(float4 a, float4 b) { return a.x * b.x + a.y * b.y + (a.z * b.z + a.w * b.w); }

__device__ __forceinline__ void addScaled(float4& to, float s, float4 v) {
  to.x += s * v.x;
  to.y += s * v.y;
  to.z += s * v.z;
  to.w += s * v.w;
}

// Σ_e scale_e · row_e over entries [from, to) of a latent, in that order. `rowOf` gives an entry's scale and row.
template <int V, bool WIDE, typename RowOf>
__device__ __forceinline__ void sumEntries(float4 (&sum)[V], int from, int to, const int* entries, int d, RowOf rowOf) {
#pragma unroll 4
  for (int e = from; e < to; e++) {
    float scale;
    const float* row = rowOf(entries[e], scale);
#pragma unroll
    for (int v = 0; v < V; v++) addScaled(sum[v], scale, loadColumns<WIDE>(row, v, d));
  }
}
