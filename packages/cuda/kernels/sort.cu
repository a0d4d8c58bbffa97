// Top-k and segment sums, through 64-bit keys that are all different: what comes out does not depend on the order in which
// threads ran. A key is (what is sorted by, position), in the order that is wanted ascending.

// Value in descending order, then index in ascending order.
extern "C" __global__ void makeTopKeys(const void* x, u64* keys, int isInt, int length, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    u32 bits = ((const u32*)x)[i];
    if (isInt) bits ^= 0x80000000u;
    else bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    keys[i] = ((u64)~bits << 32) | (u32)(i % length);
  }
}

// One digit of a radix select by row: state [rows, 2] = [prefix of the k-th key, how many of its group belong].
extern "C" __global__ void topHistogram(const u64* keys, const u64* state, int* histogram, int shift, int length) {
  __shared__ int local[256];
  for (int b = threadIdx.x; b < 256; b += blockDim.x) local[b] = 0;
  __syncthreads();
  const u64* row = keys + (long long)blockIdx.x * length;
  const u64 prefix = state[2 * blockIdx.x];
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < length; i += gridDim.y * blockDim.x) {
    const u64 key = row[i];
    if (shift == 56 || (key >> (shift + 8)) == (prefix >> (shift + 8))) atomicAdd(&local[(int)((key >> shift) & 255)], 1);
  }
  __syncthreads();
  for (int b = threadIdx.x; b < 256; b += blockDim.x)
    if (local[b]) atomicAdd(&histogram[blockIdx.x * 256 + b], local[b]);
}

extern "C" __global__ void topPick(u64* state, int* histogram, int k, int shift, int rows) {
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  int* own = histogram + row * 256;
  int remaining = shift == 56 ? k : (int)state[2 * row + 1], bin = 0;
  for (; bin < 255 && own[bin] < remaining; bin++) remaining -= own[bin];
  state[2 * row] = (shift == 56 ? 0 : state[2 * row]) | ((u64)bin << shift);
  state[2 * row + 1] = remaining;
  for (int b = 0; b < 256; b++) own[b] = 0;
}

// The keys up to the k-th, in any order, in rows padded to `width`; found: how many by row, 0 before.
extern "C" __global__ void topCollect(const u64* keys, const u64* state, u64* out, int* found, int length, int width) {
  const u64* row = keys + (long long)blockIdx.x * length;
  const u64 last = state[2 * blockIdx.x];
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < length; i += gridDim.y * blockDim.x)
    if (row[i] <= last) out[(long long)blockIdx.x * width + atomicAdd(&found[blockIdx.x], 1)] = row[i];
}

extern "C" __global__ void fillKeys(u64* keys, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) keys[i] = ~0ull;
}

// Bitonic sort of rows of up to 2048 keys (a power of two), a block a row.
extern "C" __global__ void sortRows(u64* keys, int width) {
  __shared__ u64 own[2048];
  u64* row = keys + (long long)blockIdx.x * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) own[i] = row[i];
  for (int size = 2; size <= width; size <<= 1) {
    for (int by = size >> 1; by > 0; by >>= 1) {
      __syncthreads();
      for (int i = threadIdx.x; i < width; i += blockDim.x) {
        const int other = i ^ by;
        if (other < i) continue;
        const u64 a = own[i], b = own[other];
        if ((a > b) == ((i & size) == 0)) {
          own[i] = b;
          own[other] = a;
        }
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < width; i += blockDim.x) row[i] = own[i];
}

// One step of a bitonic sort of longer rows.
extern "C" __global__ void sortStep(u64* keys, int width, int size, int by, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const int at = i % width, other = at ^ by;
    if (other < at) continue;
    u64* row = keys + (i - at);
    const u64 a = row[at], b = row[other];
    if ((a > b) == ((at & size) == 0)) {
      row[at] = b;
      row[other] = a;
    }
  }
}

extern "C" __global__ void topOutputs(const u64* keys, u32* values, int* indices, int isInt, int k, int width, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const u64 key = keys[(long long)(i / k) * width + i % k];
    u32 bits = ~(u32)(key >> 32);
    if (isInt) bits ^= 0x80000000u;
    else bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
    values[i] = bits;
    indices[i] = (int)(u32)key;
  }
}

// Segment sums: the keys of the updates, by target and then by position; those without a target go last.
extern "C" __global__ void makeSegmentKeys(const int* targets, u64* keys, int segments, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const int target = targets[i];
    keys[i] = target >= 0 && target < segments ? ((u64)(u32)target << 32) | (u32)i : ~0ull;
  }
}

// out[target, :] = Σ of its updates in their order, in float64; a thread a column of a segment's first key.
extern "C" __global__ void sumSegments(const u64* keys, const void* updates, void* out, int isInt, int count, int inner, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    const int c = i % inner, first = i / inner;
    const u64 key = keys[first];
    if (key == ~0ull) continue;
    const u32 target = (u32)(key >> 32);
    if (first > 0 && (u32)(keys[first - 1] >> 32) == target) continue;
    double sum = 0;
    for (int e = first; e < count && keys[e] != ~0ull && (u32)(keys[e] >> 32) == target; e++) {
      const long long at = (long long)(u32)keys[e] * inner + c;
      sum += isInt ? ((const int*)updates)[at] : ((const float*)updates)[at];
    }
    const long long to = (long long)target * inner + c;
    if (isInt) ((int*)out)[to] = (int)sum;
    else ((float*)out)[to] = (float)sum;
  }
}
