// MsaeGlobalNorm: sums of squares of up to eight tensors by block in float64; the block that is done last adds all of them in
// order. Tensors whose makers have left sums of squares (`summed`) are not read again.

#define TENSORS 8
#define NORM_PARAMS                                                                                                       \
  const float *a0, const float *a1, const float *a2, const float *a3, const float *a4, const float *a5, const float *a6,   \
      const float *a7, int n0, int n1, int n2, int n3, int n4, int n5, int n6, int n7, int summed, double *partials,       \
      int first, int last, int *done, float *norm
extern "C" __global__ void __launch_bounds__(256) globalNorm(NORM_PARAMS) {
  __shared__ double scratch[32];
  __shared__ int finish;
  const float* const all[TENSORS] = {a0, a1, a2, a3, a4, a5, a6, a7};
  const int sizes[TENSORS] = {n0, n1, n2, n3, n4, n5, n6, n7};
  const float* a = a0;
  int size = n0;
#pragma unroll
  for (int k = 1; k < TENSORS; k++) {
    if (k != (int)blockIdx.y) continue;
    a = all[k];
    size = sizes[k];
  }
  const bool squares = (summed >> blockIdx.y) & 1;
  const int fours = size >> 2, own = blockIdx.x * blockDim.x + threadIdx.x;
  double sum = 0;
  for (int i = own; i < fours; i += gridDim.x * blockDim.x) {
    const float4 v = __ldg(reinterpret_cast<const float4*>(a) + i);
    sum += squares ? (v.x + v.y) + (v.z + v.w) : dot4(v, v);
  }
  const int i = fours * 4 + own;
  if (i < size) sum += squares ? a[i] : a[i] * a[i];
  sum = blockSum(sum, scratch);
  if (threadIdx.x == 0) {
    partials[first + blockIdx.y * gridDim.x + blockIdx.x] = sum;
    __threadfence();
    finish = last && atomicAdd(done, 1) == (int)(gridDim.x * gridDim.y) - 1;
  }
  __syncthreads();
  if (!finish) return;
  __threadfence();
  const int total = first + gridDim.x * gridDim.y;
  sum = 0;
  for (int p = threadIdx.x; p < total; p += blockDim.x) sum += *const_cast<const volatile double*>(partials + p);
  sum = blockSum(sum, scratch);
  if (threadIdx.x > 0) return;
  norm[0] = (float)sqrt(sum);
  *done = 0;
}
